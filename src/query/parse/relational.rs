//! The tree of SQL that asks more than one dataset: WITH, joins, subqueries, set operations. What stands in its clauses is
//! read as in a plain SELECT; `statement` calls it, and expressions call it for the subqueries in them.

use sqlparser::ast::{
    Cte, CteAsMaterialized, Distinct, Expr as Tree, JoinConstraint, JoinOperator, ObjectName, OrderByKind,
    Query as QueryTree, Select as SelectTree, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, TableAlias, TableFactor, TableFunctionArgs, TableWithJoins, Value as Written,
};

use crate::error::{Error, Result};
use crate::query::expression::Expr;
use crate::query::language::{Item, Order, Query};
use crate::query::relational::tree::{
    Body, Join, JoinCondition, JoinKind, Named, Output, PART, Part, Relation, Select, SetOperation, Source,
    Table, part_name,
};

use super::clauses::{
    check_query, check_select, group_keys, having, items_and_stars, limits, not_answered, order, order_by,
};
use super::expression::{DEPTH, Place, Reader, not};
use super::location::location;
use super::names::Names;
use super::sequences::{sessions_dataset, sessions_table};
use super::sql::{is_plain, plain, plain_select, table};

impl Reader<'_> {
    /// Reads a subquery or a side of a set operation, which nest as operators do.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEPTH {
            return Err(
                self.error(None, &format!("subqueries and set operations nest deeper than {DEPTH} levels"))
            );
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// The name of a part, as an expression.
    pub(super) fn part(&mut self, part: Part) -> Expr {
        let parts = self.parts.get_or_insert_default();
        parts.push(part);
        Expr::Column(part_name(parts.len() - 1))
    }

    /// A subquery within an expression.
    pub(super) fn subquery(&mut self, tree: &Tree, place: Place) -> Result<Expr> {
        let (part, negated) = match tree {
            Tree::Exists { subquery, negated } => (Part::Exists(relation(self, subquery)?), *negated),
            Tree::InSubquery { expr, subquery, negated } => {
                let operand = self.read(expr, place)?;
                (Part::In(operand, relation(self, subquery)?), *negated)
            }
            Tree::Subquery(subquery) => (Part::Scalar(relation(self, subquery)?), false),
            _ => return Err(self.unsupported(tree)),
        };
        let part = self.part(part);
        Ok(if negated { not(part) } else { part })
    }
}

/// Rows, with what stands around them.
pub(super) fn relation(reader: &mut Reader<'_>, tree: &QueryTree) -> Result<Relation> {
    reader.deeper(|reader| {
        check_query(tree)?;
        let (with, is_recursive) = match &tree.with {
            Some(with) => {
                let named = with.cte_tables.iter().map(|cte| named(reader, cte)).collect::<Result<_>>()?;
                (named, with.recursive)
            }
            None => (Vec::new(), false),
        };
        let (body, order) = match &*tree.body {
            SetExpr::Select(select) => {
                let whole = is_plain(tree).then(|| alone(reader, |reader| plain(reader, tree))).flatten();
                let (mut read, items) = read_select(reader, select)?;
                read.plain = whole.map(Box::new);
                if read.output.iter().any(|output| matches!(output, Output::All(_))) {
                    check_no_positions(tree)?;
                }
                let names = Names { items: &items, keys: &read.by };
                let order = order_by(reader, tree.order_by.as_ref(), &names)?;
                (Body::Select(Box::new(read)), order)
            }
            other => {
                let body = body(reader, other)?;
                (body, set_order(reader, tree)?)
            }
        };
        let (limit, offset) = limits(reader, tree.limit_clause.as_ref())?;
        Ok(Relation { with, is_recursive, body, order, limit, offset })
    })
}

/// The order around sets: by names and positions of output columns, which stay as written.
fn set_order(reader: &mut Reader<'_>, tree: &QueryTree) -> Result<Vec<Order>> {
    let Some(order_by) = &tree.order_by else { return Ok(Vec::new()) };
    let OrderByKind::Expressions(parts) = &order_by.kind else {
        return Err(not_answered("ORDER BY ALL clauses"));
    };
    parts.iter().map(|part| order(reader, part, Place::Key)).collect()
}

/// A position beside `*` would depend on what fields there are.
fn check_no_positions(tree: &QueryTree) -> Result<()> {
    let is_position =
        |tree: &Tree| matches!(tree, Tree::Value(value) if matches!(value.value, Written::Number(..)));
    let by_position = match tree.order_by.as_ref().map(|order_by| &order_by.kind) {
        Some(OrderByKind::Expressions(parts)) => parts.iter().any(|part| is_position(&part.expr)),
        _ => false,
    };
    match by_position {
        true => Err(Error::invalid("ORDER BY cannot count columns beside *; name the column")),
        false => Ok(()),
    }
}

/// Reads a part as if it stood alone, where that can be read: then it is a question of its own.
fn alone(reader: &mut Reader<'_>, read: impl FnOnce(&mut Reader<'_>) -> Result<Query>) -> Option<Query> {
    let parts = reader.parts.take();
    let found = read(reader).ok();
    reader.parts = parts;
    reader.qualifiers.clear();
    found
}

fn named(reader: &mut Reader<'_>, cte: &Cte) -> Result<Named> {
    if cte.from.is_some() {
        return Err(not_answered("FROM beside WITH"));
    }
    let (name, columns) = alias(&cte.alias);
    let is_materialized = cte.materialized.as_ref().map(|how| *how == CteAsMaterialized::Materialized);
    Ok(Named { name, columns, relation: relation(reader, &cte.query)?, is_materialized })
}

fn alias(alias: &TableAlias) -> (String, Vec<String>) {
    (alias.name.value.clone(), alias.columns.iter().map(|column| column.name.value.clone()).collect())
}

fn body(reader: &mut Reader<'_>, tree: &SetExpr) -> Result<Body> {
    reader.deeper(|reader| match tree {
        SetExpr::Select(select) => {
            let whole = alone(reader, |reader| plain_select(reader, select, None));
            let (read, _) = read_select(reader, select)?;
            Ok(Body::Select(Box::new(Select { plain: whole.map(Box::new), ..read })))
        }
        SetExpr::Query(query) => Ok(Body::Nested(Box::new(relation(reader, query)?))),
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            let operation = match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::All) => SetOperation::UnionAll,
                (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => SetOperation::Union,
                (SetOperator::Intersect, SetQuantifier::None | SetQuantifier::Distinct) => {
                    SetOperation::Intersect
                }
                (SetOperator::Except | SetOperator::Minus, SetQuantifier::None | SetQuantifier::Distinct) => {
                    SetOperation::Except
                }
                _ => return Err(not_answered(&format!("{op} {set_quantifier} clauses"))),
            };
            let left = Box::new(body(reader, left)?);
            Ok(Body::Set { operation, left, right: Box::new(body(reader, right)?) })
        }
        SetExpr::Values(values) => {
            let rows = values.rows.iter().map(|row| {
                row.content
                    .iter()
                    .map(|value| reader.read(value, Place::Condition))
                    .collect::<Result<Vec<_>>>()
            });
            let rows = rows.collect::<Result<Vec<_>>>()?;
            let width = rows.first().map_or(0, Vec::len);
            match rows.iter().all(|row| row.len() == width && width > 0) {
                true => Ok(Body::Values(rows)),
                false => {
                    Err(Error::invalid("the rows of VALUES have to be equally long, one value at least"))
                }
            }
        }
        _ => Err(Error::invalid("only SELECT is allowed")),
    })
}

/// A SELECT, and those of its output columns that names may refer to.
fn read_select(reader: &mut Reader<'_>, tree: &SelectTree) -> Result<(Select, Vec<Item>)> {
    check_select(tree)?;
    let around = std::mem::replace(&mut reader.windows, super::windows::named(&tree.named_window)?);
    let from = sources(reader, &tree.from)?;
    let qualifiers: Vec<&str> = from.iter().filter_map(name_of).collect();
    let mut items = Vec::new();
    let mut output = Vec::with_capacity(tree.projection.len());
    let read = items_and_stars(reader, tree)?;
    for (item, tree) in read.into_iter().zip(&tree.projection) {
        match item {
            Some(mut item) => {
                shorten_name(&mut item, tree, &qualifiers);
                items.push(item.clone());
                output.push(Output::Item(item));
            }
            None => output.push(Output::All(star(tree)?)),
        }
    }
    let filter = tree.selection.as_ref().map(|tree| reader.read(tree, Place::Where)).transpose()?;
    let by = group_keys(reader, &tree.group_by, &items)?;
    let names = Names { items: &items, keys: &by };
    let having = having(reader, tree.having.as_ref(), &names)?;
    reader.windows = around;
    let is_distinct = matches!(tree.distinct, Some(Distinct::Distinct));
    Ok((Select { plain: None, is_distinct, output, from, filter, by, having }, items))
}

fn name_of(source: &Source) -> Option<&str> {
    match (&source.alias, &source.table) {
        (Some(alias), _) => Some(alias),
        (None, Table::Named(name)) => Some(name),
        _ => None,
    }
}

/// `v.country` is called country.
fn shorten_name(item: &mut Item, tree: &SelectItem, qualifiers: &[&str]) {
    if let (Expr::Column(name), SelectItem::UnnamedExpr(Tree::CompoundIdentifier(_))) =
        (&item.expression, tree)
    {
        let own = qualifiers.iter().find_map(|known| {
            let (before, rest) = name.split_at_checked(known.len())?;
            rest.strip_prefix('.').filter(|_| before.eq_ignore_ascii_case(known))
        });
        item.name = own.unwrap_or(name).to_owned();
    }
}

/// Whose columns a star is for.
fn star(tree: &SelectItem) -> Result<Option<String>> {
    let (of, options) = match tree {
        SelectItem::Wildcard(options) => (None, options),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
            (Some(one_part(name)?), options)
        }
        _ => return Err(Error::invalid("a star stands alone, or after the name of a table: v.*")),
    };
    match options.to_string().is_empty() {
        true => Ok(of),
        false => Err(not_answered("EXCLUDE, REPLACE and RENAME after *")),
    }
}

fn one_part(name: &ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [part] if part.as_ident().is_some() => {
            Ok(part.as_ident().map(|ident| ident.value.clone()).unwrap_or_default())
        }
        _ => Err(Error::invalid(format!("{name} has to be one name, without parts"))),
    }
}

fn sources(reader: &mut Reader<'_>, from: &[TableWithJoins]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for TableWithJoins { relation, joins } in from {
        let all = Join { kind: JoinKind::Inner, condition: JoinCondition::None };
        sources.push(source(reader, relation, all)?);
        for join in joins {
            if join.global {
                return Err(not_answered("GLOBAL joins"));
            }
            let how = how(reader, &join.join_operator)?;
            sources.push(source(reader, &join.relation, how)?);
        }
    }
    Ok(sources)
}

fn how(reader: &mut Reader<'_>, operator: &JoinOperator) -> Result<Join> {
    let (kind, constraint) = match operator {
        JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => {
            (JoinKind::Inner, on)
        }
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (JoinKind::Left, on),
        JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (JoinKind::Right, on),
        JoinOperator::FullOuter(on) => (JoinKind::Full, on),
        _ => return Err(not_answered("joins other than INNER, LEFT, RIGHT, FULL and CROSS")),
    };
    let condition = match constraint {
        JoinConstraint::On(tree) => JoinCondition::On(reader.read(tree, Place::Where)?),
        JoinConstraint::Using(names) => {
            JoinCondition::Using(names.iter().map(one_part).collect::<Result<_>>()?)
        }
        JoinConstraint::Natural => JoinCondition::Natural,
        JoinConstraint::None => JoinCondition::None,
    };
    Ok(Join { kind, condition })
}

fn source(reader: &mut Reader<'_>, factor: &TableFactor, join: Join) -> Result<Source> {
    if let TableFactor::Derived { lateral, subquery, alias: named, sample } = factor {
        if *lateral || sample.is_some() {
            return Err(not_answered("LATERAL subqueries and samples"));
        }
        let table = Table::Derived(Box::new(relation(reader, subquery)?));
        let (alias, columns) = match named {
            Some(named) => (Some(alias(named).0), alias(named).1),
            None => (None, Vec::new()),
        };
        return Ok(Source { table, alias, columns, join });
    }
    let (name, alias_name, arguments) = table(factor)?;
    let columns = match factor {
        TableFactor::Table { alias: Some(named), .. } => alias(named).1,
        _ => Vec::new(),
    };
    let table = match arguments {
        Some(arguments) => Table::Sessions(Box::new(sessions(reader, arguments)?)),
        None => Table::Named(name),
    };
    Ok(Source { table, alias: alias_name, columns, join })
}

/// All sessions, as a question of their own.
fn sessions(reader: &mut Reader<'_>, arguments: &TableFunctionArgs) -> Result<Query> {
    let (from, parts) = (sessions_dataset(arguments)?, reader.parts.take());
    reader.qualifiers = vec![from.clone()];
    let read = sessions_table(reader, arguments);
    reader.qualifiers.clear();
    reader.parts = parts;
    Ok(Query { sessions: Some(read?), ..Query::all_of(from) })
}

/// The error of a name that no text should hold.
pub(super) fn check_name(reader: &Reader<'_>, name: &str, tree: &Tree) -> Result<()> {
    match name.starts_with(PART) {
        true => Err(reader.error(location(tree), "a name cannot begin with a zero character")),
        false => Ok(()),
    }
}
