//! Pictures as Chromium writes them, read as far as a test needs it: 8 bits a colour, not interlaced.

use std::collections::HashMap;

use miniz_oxide::inflate::decompress_to_vec_zlib;

/// A picture.
#[derive(Debug)]
pub struct Picture {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Red, green and blue, row by row.
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    pub fn read(png: &[u8]) -> Self {
        let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").expect("a PNG");
        let (mut header, mut packed) = (Vec::new(), Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (kind, after) = after.split_at(4);
            let (data, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            match kind {
                b"IHDR" => header = data.to_vec(),
                b"IDAT" => packed.extend_from_slice(data),
                _ => {}
            }
            rest = &after[4..]; // the checksum
        }
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("4 bytes")) as usize;
        let (width, height) = (number(0), number(4));
        let samples = match header[8..13] {
            [8, 2, 0, 0, 0] => 3,
            [8, 6, 0, 0, 0] => 4,
            ref other => panic!("another form of PNG: {other:?}"),
        };
        let lines = decompress_to_vec_zlib(&packed).expect("it unpacks");
        let mut above = vec![0; width * samples];
        let mut pixels = Vec::with_capacity(width * height);
        for line in lines.chunks_exact(width * samples + 1) {
            let line = unfiltered(line[0], &line[1..], &above, samples);
            pixels.extend(line.chunks_exact(samples).map(|pixel| [pixel[0], pixel[1], pixel[2]]));
            above = line;
        }
        assert_eq!(pixels.len(), width * height);
        Self { width, height, pixels }
    }

    /// How many pixels have that colour.
    pub fn count(&self, colour: [u8; 3]) -> usize {
        self.pixels.iter().filter(|pixel| **pixel == colour).count()
    }

    /// Of all colours the most frequent.
    pub fn ground(&self) -> [u8; 3] {
        let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
        for pixel in &self.pixels {
            *counts.entry(*pixel).or_default() += 1;
        }
        let (colour, _) = counts.into_iter().max_by_key(|(_, count)| *count).expect("a pixel");
        colour
    }
}

/// A line as it was before the filter of PNG (its section 9) was laid over it.
fn unfiltered(filter: u8, line: &[u8], above: &[u8], samples: usize) -> Vec<u8> {
    let mut plain: Vec<u8> = Vec::with_capacity(line.len());
    for (at, byte) in line.iter().enumerate() {
        let (left, corner) = match at.checked_sub(samples) {
            Some(before) => (plain[before], above[before]),
            None => (0, 0),
        };
        let guess = match filter {
            0 => 0,
            1 => left,
            2 => above[at],
            3 => u8::midpoint(left, above[at]),
            4 => paeth(left, above[at], corner),
            other => panic!("no filter: {other}"),
        };
        plain.push(byte.wrapping_add(guess));
    }
    plain
}

fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let sum = i16::from(left) + i16::from(above) - i16::from(corner);
    let far = |from: u8| (sum - i16::from(from)).abs();
    if far(left) <= far(above) && far(left) <= far(corner) {
        left
    } else if far(above) <= far(corner) {
        above
    } else {
        corner
    }
}
