//! Medians, ranges, and Markdown tables.

use crate::Sample;
use std::fmt;

#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Self {
            median,
            least: values[0],
            most: values[values.len() - 1],
        }
    }
}

/// The rounds of one server.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub rate: Spread,
    pub user: Spread,
    pub cpu: Spread,
    pub errors: u64,
}

impl Summary {
    pub fn of(samples: &[Sample]) -> Self {
        let spread = |value: fn(&Sample) -> f64| Spread::of(samples.iter().map(value).collect());
        Self {
            rate: spread(|sample| sample.rate),
            user: spread(|sample| sample.user_us),
            cpu: spread(|sample| sample.user_us + sample.system_us),
            errors: samples.iter().map(|sample| sample.errors).sum(),
        }
    }
}

pub struct Table {
    rows: Vec<String>,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        let header = format!("| {} |", columns.join(" | "));
        let rule = format!("|{}", "---|".repeat(columns.len()));
        Self {
            rows: vec![header, rule],
        }
    }

    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(format!("| {} |", cells.join(" | ")));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}
