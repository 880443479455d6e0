//! Window functions: `sum(x) OVER (PARTITION BY .. ORDER BY .. ROWS ..)`, and the WINDOW clause. Called for the calls of an
//! expression.

use sqlparser::ast::{
    Expr as Tree, Function as Call, NamedWindowDefinition, NamedWindowExpr, Value as Written, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};
use sqlparser::tokenizer::Location;

use crate::error::{Error, Result};
use crate::query::expression::Expr;
use crate::query::relational::tree::{Part, RANKS, Rank, Window, WindowFunction};

use super::calls::{Argument, aggregate_function};
use super::clauses::{not_answered, order};
use super::expression::{Place, Reader};

/// The windows of a WINDOW clause by name.
pub(super) fn named(clause: &[NamedWindowDefinition]) -> Result<Vec<(String, WindowSpec)>> {
    let one = |NamedWindowDefinition(name, what): &NamedWindowDefinition| match what {
        NamedWindowExpr::WindowSpec(spec) => Ok((name.value.clone(), spec.clone())),
        NamedWindowExpr::NamedWindow(_) => Err(not_answered("names of windows for other names of windows")),
    };
    clause.iter().map(one).collect()
}

impl Reader<'_> {
    /// A call with OVER.
    pub(super) fn window(
        &mut self,
        call: &Call,
        over: &WindowType,
        place: Place,
        at: Option<Location>,
    ) -> Result<Expr> {
        let name = call.name.to_string().to_lowercase();
        if self.parts.is_none() {
            return Err(self.error(at, "window functions (OVER) stand in SQL only, not in this expression"));
        }
        if place != Place::Anywhere {
            let told = "a window function stands in SELECT and ORDER BY only; filter by it around a subquery";
            return Err(self.error(at, told));
        }
        let spec = self.specification(over, at)?;
        let function = match RANKS.iter().find(|rank| rank.name == name) {
            Some(rank) => self.rank(rank, call, at)?,
            None => match aggregate_function(&name) {
                Some(function) => WindowFunction::Aggregate(self.aggregate_call(
                    &name,
                    function,
                    call,
                    Place::Window,
                    at,
                )?),
                None => {
                    return Err(self.error(at, &format!("{name}() is no aggregate and no window function")));
                }
            },
        };
        let partition =
            spec.partition_by.iter().map(|tree| self.read(tree, Place::Window)).collect::<Result<_>>()?;
        let order =
            spec.order_by.iter().map(|part| order(self, part, Place::Window)).collect::<Result<_>>()?;
        let frame = spec.window_frame.as_ref().map(frame).transpose()?;
        Ok(self.part(Part::Window(Window { function, partition, order, frame })))
    }

    fn rank(&mut self, rank: &'static Rank, call: &Call, at: Option<Location>) -> Result<WindowFunction> {
        let (distinct, arguments) = self.arguments(call, Place::Window, at)?;
        let (least, most) = rank.arguments;
        if distinct || call.filter.is_some() || !(least..=most).contains(&arguments.len()) {
            let wanted = match (least, most) {
                (0, 0) => "no argument".to_owned(),
                (1, 1) => "one argument".to_owned(),
                (a, b) if a == b => format!("{a} arguments"),
                (a, b) => format!("{a} to {b} arguments"),
            };
            return Err(
                self.error(at, &format!("{}() takes {wanted}, without DISTINCT and FILTER", rank.name))
            );
        }
        let read = |argument| match argument {
            Argument::Expression(expression) => Ok(expression),
            Argument::Star => Err(self.error(at, &format!("{}(*) has no meaning; name a field", rank.name))),
        };
        let arguments = arguments.into_iter().map(read).collect::<Result<_>>()?;
        Ok(WindowFunction::Rank(rank, arguments))
    }

    /// The window, with what it takes from one of the WINDOW clause.
    fn specification(&self, over: &WindowType, at: Option<Location>) -> Result<WindowSpec> {
        let find = |name: &str| {
            let found = self.windows.iter().find(|(known, _)| known == name).map(|(_, spec)| spec.clone());
            found.ok_or_else(|| self.error(at, &format!("there is no window \"{name}\" in a WINDOW clause")))
        };
        match over {
            WindowType::NamedWindow(name) => find(&name.value),
            WindowType::WindowSpec(spec) => match &spec.window_name {
                None => Ok(spec.clone()),
                Some(name) => {
                    let base = find(&name.value)?;
                    if !spec.partition_by.is_empty() || !base.order_by.is_empty() && !spec.order_by.is_empty()
                    {
                        let told = "a window that goes out from another adds an order or a frame only";
                        return Err(self.error(at, told));
                    }
                    let order_by = [base.order_by, spec.order_by.clone()].concat();
                    let window_frame = spec.window_frame.clone().or(base.window_frame);
                    Ok(WindowSpec {
                        window_name: None,
                        partition_by: base.partition_by,
                        order_by,
                        window_frame,
                    })
                }
            },
        }
    }
}

/// A frame in SQLite's words.
fn frame(frame: &WindowFrame) -> Result<String> {
    let units = match frame.units {
        WindowFrameUnits::Rows => "ROWS",
        WindowFrameUnits::Range => "RANGE",
        WindowFrameUnits::Groups => "GROUPS",
    };
    let start = bound(&frame.start_bound)?;
    Ok(match &frame.end_bound {
        Some(end) => format!("{units} BETWEEN {start} AND {}", bound(end)?),
        None => format!("{units} {start}"),
    })
}

fn bound(bound: &WindowFrameBound) -> Result<String> {
    let (distance, side) = match bound {
        WindowFrameBound::CurrentRow => return Ok("CURRENT ROW".into()),
        WindowFrameBound::Preceding(distance) => (distance, "PRECEDING"),
        WindowFrameBound::Following(distance) => (distance, "FOLLOWING"),
    };
    let distance = match distance.as_deref() {
        None => "UNBOUNDED".to_owned(),
        Some(Tree::Value(value)) => match &value.value {
            Written::Number(digits, _) if digits.parse::<f64>().is_ok_and(f64::is_finite) => digits.clone(),
            _ => return Err(Error::invalid("the distance in a frame of a window is a number from 0 on")),
        },
        Some(_) => return Err(Error::invalid("the distance in a frame of a window is a number from 0 on")),
    };
    Ok(format!("{distance} {side}"))
}
