//! Where 0 is in a drawing, and how long a number is drawn: one measure for what is above and what is below, so that
//! 3 and -3 are of one length. `bars` and `series` measure by it.

/// The cells of a drawing (columns or lines) on both sides of 0.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    low: f64,
    high: f64,
    /// Cells for numbers below 0; none where there are no such numbers.
    pub below: usize,
    /// Cells for numbers above 0.
    pub above: usize,
}

impl Scale {
    /// So many cells, shared out for numbers from `low`, which is 0 at most, to `high`, which is 0 at least.
    pub fn new(low: f64, high: f64, cells: usize) -> Self {
        let above = match (low < 0.0, high > 0.0) {
            (false, _) => cells,
            (true, false) => 0,
            // halved, because the difference of two numbers may be none
            (true, true) => {
                let share = high / 2.0 / (high / 2.0 - low / 2.0);
                ((share * cells as f64).round() as usize).clamp(1, cells.saturating_sub(1).max(1))
            }
        };
        Self { low, high, below: cells.saturating_sub(above), above }
    }

    /// The parts of cells that a number is long, each cell having so many: 0 for 0 alone.
    pub fn parts(&self, value: f64, of_a_cell: usize) -> usize {
        if value == 0.0 {
            return 0;
        }
        let sides = [(self.above, self.high), (self.below, self.low)];
        let [(cells, most), (other_cells, other_most)] =
            if value > 0.0 { sides } else { [sides[1], sides[0]] };
        // the side that has fewer cells for its largest number gives the measure
        let measure = match other_most == 0.0 {
            true => 1.0,
            false => (other_cells as f64 / cells as f64 * (most / other_most).abs()).min(1.0),
        };
        let all = cells * of_a_cell;
        ((value / most * measure * all as f64).round().max(1.0) as usize).min(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_fills_its_side_and_none_but_0_is_nothing() {
        let scale = Scale::new(0.0, 50.0, 10);
        assert_eq!((scale.below, scale.above), (0, 10));
        assert_eq!([0.0, 0.001, 25.0, 50.0].map(|v| scale.parts(v, 8)), [0, 1, 40, 80]);
        assert_eq!(Scale::new(0.0, 0.0, 10).parts(0.0, 8), 0);
    }

    #[test]
    fn both_sides_have_one_measure() {
        let scale = Scale::new(-3.0, 9.0, 12);
        assert_eq!((scale.below, scale.above), (3, 9));
        assert_eq!([3.0, -3.0, 9.0].map(|v| scale.parts(v, 8)), [24, 24, 72]);
        let steep = Scale::new(-0.001, 9.0, 12);
        assert_eq!((steep.below, steep.parts(-0.001, 2)), (1, 1));
    }

    #[test]
    fn the_ends_of_floats_are_drawn_too() {
        let scale = Scale::new(f64::MIN, f64::MAX, 20);
        assert_eq!((scale.above, scale.parts(f64::MAX, 8), scale.parts(f64::MIN, 8)), (10, 80, 80));
        let tiny = Scale::new(-5e-324, 1e308, 20);
        assert_eq!((tiny.below, tiny.parts(-5e-324, 8)), (1, 1));
    }
}
