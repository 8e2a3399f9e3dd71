//! Plots of what was measured, as SVG: dark text on white, so that they can be read on any page.

use crate::table::Spread;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;
use std::path::Path;

pub struct Plot {
    /// Of the file, without its extension.
    pub name: String,
    pub title: String,
    pub figure: Figure,
}

pub enum Figure {
    /// A bar for each server, from the left, with its value and its range.
    Bars(Vec<Bar>),
    /// Microseconds over percentiles, a line for each server.
    Percentiles(Vec<Line>),
}

pub struct Bar {
    pub name: String,
    pub value: Spread,
    pub decimals: usize,
}

pub struct Line {
    pub name: String,
    /// One for each of [`PERCENTILES`].
    pub values: Vec<f64>,
}

/// What a line goes through.
pub const PERCENTILES: [(&str, f64); 6] = [
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

impl Plot {
    pub fn file_name(&self) -> String {
        format!("{}.svg", self.name)
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome = Result<(), Box<dyn Error>>;

const WIDTH: i32 = 760;
/// Where the names end and the bars begin, unless a name is longer; and where the longest bar ends.
const LEFT: i32 = 120;
const RIGHT: i32 = 560;
/// Of a letter of a name, at the most.
const LETTER: i32 = 8;
/// Of a bar with the space below it, and of the title.
const STEP: i32 = 34;
const TITLE: i32 = 48;
const FONT: &str = "sans-serif";
/// What plotters makes of a size, undone.
const POINTS: f64 = 1.24;
const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(215, 215, 215);

/// A colour for each server, the same in every plot; they differ for the colour-blind, too.
fn colour(name: &str) -> RGBColor {
    match name.split([' ', ',']).next().unwrap_or_default() {
        "floor" => RGBColor(136, 136, 136),
        "capuchin" => RGBColor(213, 94, 0),
        "nginx" => RGBColor(0, 158, 115),
        "lighttpd" => RGBColor(0, 114, 178),
        "hyper" => RGBColor(204, 121, 167),
        _ => RGBColor(86, 180, 233),
    }
}

pub fn draw(plot: &Plot, directory: &Path) -> Result<(), String> {
    let file = directory.join(plot.file_name());
    let height = match &plot.figure {
        Figure::Bars(bars) => TITLE + STEP * bars.len() as i32 + 10,
        Figure::Percentiles(_) => 420,
    };
    let area = SVGBackend::new(&file, (WIDTH as u32, height as u32)).into_drawing_area();
    let drawn = || -> Outcome {
        area.fill(&WHITE)?;
        write(&area, &plot.title, (14, 14), 17, (HPos::Left, VPos::Top))?;
        match &plot.figure {
            Figure::Bars(bars) => draw_bars(&area, bars)?,
            Figure::Percentiles(lines) => draw_percentiles(&area, lines, height)?,
        }
        area.present()?;
        Ok(())
    };
    drawn().map_err(|error| format!("{}: {error}", file.display()))
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, (h, v): (HPos, VPos)) -> Outcome {
    let size = f64::from(size) * POINTS;
    let style = TextStyle::from((FONT, size).into_font())
        .color(&INK)
        .pos(Pos::new(h, v));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}

fn draw_bars(area: &Area<'_>, bars: &[Bar]) -> Outcome {
    let most = bars.iter().map(|bar| bar.value.most).fold(0.0, f64::max);
    let longest = bars.iter().map(|bar| bar.name.chars().count()).max();
    let left = LEFT.max(longest.unwrap_or(0) as i32 * LETTER + 8);
    let x = |value: f64| left + (f64::from(RIGHT - left) * value / most.max(1e-9)) as i32;
    for (number, bar) in bars.iter().enumerate() {
        let (top, value) = (TITLE + STEP * number as i32, bar.value);
        let (bottom, middle) = (top + STEP - 10, top + (STEP - 10) / 2);
        let name = (HPos::Right, VPos::Center);
        write(area, &bar.name, (left - 8, middle), 14, name)?;
        area.draw(&Rectangle::new(
            [(left, top), (x(value.middle), bottom)],
            colour(&bar.name).filled(),
        ))?;
        if value.most > value.least {
            let (from, to) = (x(value.least), x(value.most));
            for line in [
                [(from, middle), (to, middle)],
                [(from, middle - 5), (from, middle + 5)],
                [(to, middle - 5), (to, middle + 5)],
            ] {
                area.draw(&PathElement::new(line.to_vec(), INK.stroke_width(1)))?;
            }
        }
        let label = grouped(value.middle, bar.decimals);
        let place = (HPos::Left, VPos::Center);
        write(area, &label, (x(value.most) + 8, middle), 14, place)?;
    }
    Ok(())
}

fn draw_percentiles(area: &Area<'_>, lines: &[Line], height: i32) -> Outcome {
    let all = || lines.iter().flat_map(|line| &line.values).copied();
    // Whole powers of ten, so that the scale can be read.
    let low = all().fold(f64::MAX, f64::min).max(1.0).log10().floor();
    let high = all().fold(10.0, f64::max).log10().ceil().max(low + 1.0);
    let (left, right, top, bottom) = (80, RIGHT + 60, TITLE, height - 40);
    let x = |at: usize| left + (right - left) * at as i32 / (PERCENTILES.len() as i32 - 1);
    let y = |value: f64| {
        let part = (value.max(1.0).log10() - low) / (high - low);
        bottom - (f64::from(bottom - top) * part) as i32
    };
    for power in low as i32..=high as i32 {
        for factor in [1.0, 2.0, 5.0] {
            let value = factor * 10f64.powi(power);
            if value > 10f64.powf(high) {
                continue;
            }
            let line = vec![(left, y(value)), (right, y(value))];
            area.draw(&PathElement::new(line, FAINT.stroke_width(1)))?;
            let (at, place) = ((left - 8, y(value)), (HPos::Right, VPos::Center));
            write(area, &format!("{} µs", grouped(value, 0)), at, 12, place)?;
        }
    }
    for (at, (name, _)) in PERCENTILES.iter().enumerate() {
        let place = (HPos::Center, VPos::Top);
        write(area, name, (x(at), bottom + 10), 13, place)?;
    }
    let mut labels: Vec<(i32, &str)> = Vec::new();
    for line in lines {
        let points: Vec<_> = (0..)
            .zip(&line.values)
            .map(|(at, &v)| (x(at), y(v)))
            .collect();
        let Some(&(_, end)) = points.last() else {
            continue;
        };
        let colour = colour(&line.name);
        for point in &points {
            area.draw(&Circle::new(*point, 3, colour.filled()))?;
        }
        area.draw(&PathElement::new(points, colour.stroke_width(2)))?;
        labels.push((end, &line.name));
    }
    // Names stand at the ends of their lines, one below the other where these meet.
    labels.sort_unstable();
    let mut free = top;
    for (end, name) in labels {
        let at = end.max(free);
        free = at + 16;
        area.draw(&Circle::new((right + 12, at), 4, colour(name).filled()))?;
        let place = (HPos::Left, VPos::Center);
        write(area, name, (right + 22, at), 13, place)?;
    }
    Ok(())
}

/// A number with commas between thousands.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (value, decimals, expected) in [
            (1_234_567.0, 0, "1,234,567"),
            (123.456, 2, "123.46"),
            (1_000.5, 1, "1,000.5"),
            (0.0, 0, "0"),
        ] {
            assert_eq!(grouped(value, decimals), expected);
        }
    }

    #[test]
    fn both_kinds_of_plot_name_every_server_and_value() {
        let directory = std::env::temp_dir().join(format!("bench-plots-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let bar = Bar {
            name: "floor".into(),
            value: Spread::of(vec![9_000.0, 10_000.0, 12_000.0]),
            decimals: 0,
        };
        let line = Line {
            name: "capuchin".into(),
            values: vec![20.0, 25.0, 30.0, 100.0, 400.0, 1_500.0],
        };
        for (figure, words) in [
            (Figure::Bars(vec![bar]), ["floor", "10,000"]),
            (Figure::Percentiles(vec![line]), ["capuchin", "p99.9"]),
        ] {
            let plot = Plot {
                name: "test".into(),
                title: "a title".into(),
                figure,
            };
            draw(&plot, &directory).expect("drawn");
            let svg = std::fs::read_to_string(directory.join("test.svg")).expect("written");
            for word in words.into_iter().chain(["a title"]) {
                assert!(svg.contains(word), "{word} in {svg}");
            }
        }
        std::fs::remove_dir_all(directory).expect("removed");
    }
}
