//! A screenshot: how much ink is where.

use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::{ensure, fail};
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;

/// How far from the ground's a pixel's brightness is, of 255, where somebody is to read it.
const INK: u8 = 90;

/// Brightness of each pixel.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    pub fn read(file: &Path) -> Outcome<Self> {
        let mut decoder = png::Decoder::new(BufReader::new(File::open(file)?));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().during("the picture")?;
        let Some(size) = reader.output_buffer_size() else {
            fail!("the picture is too large")
        };
        let mut bytes = vec![0; size];
        let info = reader.next_frame(&mut bytes).during("the picture")?;
        let samples = info.color_type.samples();
        ensure!(samples >= 3, "the picture has no colours: {info:?}");
        let pixels = bytes[..info.buffer_size()]
            .chunks_exact(samples)
            .map(|pixel| {
                let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
                // ITU-R BT.601, in whole numbers.
                ((299 * red + 587 * green + 114 * blue) / 1_000) as u8
            });
        Ok(Self {
            width: info.width as usize,
            height: info.height as usize,
            pixels: pixels.collect(),
        })
    }

    /// Of its first corner, where nothing is.
    pub fn ground(&self) -> u8 {
        self.pixels[0]
    }

    /// Pixels of a region that stand out from its first one, of a thousand.
    pub fn ink(&self, across: Range<usize>, down: Range<usize>) -> Outcome<usize> {
        ensure!(
            across.end <= self.width && down.end <= self.height && !across.is_empty(),
            "{across:?} by {down:?} is not within the picture"
        );
        let size = across.len() * down.len();
        let ground = self.pixels[down.start * self.width + across.start];
        let rows = down.map(|y| &self.pixels[y * self.width..][across.clone()]);
        let inked = rows
            .flatten()
            .filter(|pixel| pixel.abs_diff(ground) >= INK)
            .count();
        Ok(inked * 1_000 / size)
    }
}
