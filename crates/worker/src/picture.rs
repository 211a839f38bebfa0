//! Decoded pictures: planes that somebody else owns ([`View`]), and planes of our own ([`Buffer`]).

use ocelli_codec::Range;
use ocelli_media::Size;

/// How the planes of a picture lie to each other. A byte a sample, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Colour in half the columns and half the rows.
    Yuv420,
    /// Colour in half the columns.
    Yuv422,
    /// Colour for each pixel.
    Yuv444,
    /// No colour: both planes of it are empty.
    Gray,
}

impl Layout {
    /// Columns and rows of luma for each sample of colour.
    pub const fn steps(self) -> (usize, usize) {
        match self {
            Self::Yuv420 => (2, 2),
            Self::Yuv422 => (2, 1),
            Self::Yuv444 | Self::Gray => (1, 1),
        }
    }

    /// Columns and rows of plane 0, 1 or 2 of a picture of `size`. With room for whole steps: what is behind an odd
    /// picture's last column and row repeats them.
    pub fn plane(self, size: Size, plane: usize) -> (usize, usize) {
        let (across, down) = self.steps();
        let columns = usize::from(size.width).next_multiple_of(across);
        let rows = usize::from(size.height).next_multiple_of(down);
        match (plane, self) {
            (0, _) => (columns, rows),
            (_, Self::Gray) => (0, 0),
            _ => (columns / across, rows / down),
        }
    }
}

/// What luma and colour are made of (Rec. ITU-T H.273, MatrixCoefficients).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// BT.601: JPEG's, and of all that does not say.
    Bt601,
    /// BT.709: television in high definition.
    Bt709,
}

/// One plane's samples.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// Rows from the top, the last one as long as its columns or longer.
    pub samples: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A decoded picture in memory of somebody's. Each plane has the columns and rows that [`Layout::plane`] says.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Size in pixels.
    pub size: Size,
    /// How the planes lie to each other.
    pub layout: Layout,
    /// What the samples' numbers stand for.
    pub range: Range,
    /// What luma and colour are made of.
    pub matrix: Matrix,
    /// Y, Cb, Cr.
    pub planes: [Plane<'a>; 3],
}

impl View<'_> {
    /// The rows of a plane, each of its columns only.
    pub fn rows(&self, plane: usize) -> impl Iterator<Item = &[u8]> {
        let (columns, rows) = self.layout.plane(self.size, plane);
        let Plane { samples, stride } = self.planes[plane];
        samples.chunks(stride.max(1)).take(rows).map(move |row| &row[..columns])
    }
}

/// Bytes behind a picture's last sample that may be read and mean nothing. FFmpeg wants 16 behind each plane, and for the first two
/// it is what follows them (libavutil/frame.h, `AVFrame.data`).
const PADDING_BYTES: usize = 64;

/// A picture in memory of its own, rows without gaps. Kept from picture to picture: pictures of one size take no new
/// memory.
#[derive(Debug)]
pub struct Buffer {
    size: Size,
    layout: Layout,
    /// What the samples' numbers stand for; whoever fills them says so.
    pub range: Range,
    /// What luma and colour are made of; whoever fills them says so.
    pub matrix: Matrix,
    /// With [`PADDING_BYTES`] behind them.
    memory: Vec<u8>,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            size: Size { width: 1, height: 1 },
            layout: Layout::Gray,
            range: Range::Full,
            matrix: Matrix::Bt601,
            memory: vec![0; 1 + PADDING_BYTES],
        }
    }
}

impl Buffer {
    /// Makes it so large. What it holds then means nothing.
    pub fn reset(&mut self, size: Size, layout: Layout) {
        let samples = (0..3).map(|plane| layout.plane(size, plane)).map(|(columns, rows)| columns * rows);
        let bytes = samples.sum::<usize>() + PADDING_BYTES;
        (self.size, self.layout) = (size, layout);
        if self.memory.len() != bytes {
            // Zeroed memory comes untouched from the system; what was larger is given back.
            self.memory = Vec::new();
            self.memory = vec![0; bytes];
        }
    }

    /// Size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How the planes lie to each other.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// All samples: the planes one behind the other.
    pub fn samples(&self) -> &[u8] {
        &self.memory[..self.memory.len() - PADDING_BYTES]
    }

    /// All samples, to be written.
    pub fn samples_mut(&mut self) -> &mut [u8] {
        let bytes = self.memory.len() - PADDING_BYTES;
        &mut self.memory[..bytes]
    }

    /// What is behind the last sample.
    #[cfg(test)]
    pub(crate) fn padding(&self) -> &[u8] {
        &self.memory[self.memory.len() - PADDING_BYTES..]
    }

    /// Columns and samples of each plane.
    pub fn planes_mut(&mut self) -> [(usize, &mut [u8]); 3] {
        let [y, u, _] = [0, 1, 2].map(|plane| self.layout.plane(self.size, plane));
        let (luma, colours) = self.samples_mut().split_at_mut(y.0 * y.1);
        let (blue, red) = colours.split_at_mut(u.0 * u.1);
        [(y.0, luma), (u.0, blue), (u.0, red)]
    }

    /// The picture.
    pub fn view(&self) -> View<'_> {
        let [y, u, _] = [0, 1, 2].map(|plane| self.layout.plane(self.size, plane));
        let (luma, colours) = self.samples().split_at(y.0 * y.1);
        let (blue, red) = colours.split_at(u.0 * u.1);
        let planes = [(luma, y.0), (blue, u.0), (red, u.0)];
        View {
            size: self.size,
            layout: self.layout,
            range: self.range,
            matrix: self.matrix,
            planes: planes.map(|(samples, stride)| Plane { samples, stride }),
        }
    }

    /// Repeats the last column and row of an odd picture where whole steps of colour need more.
    pub fn repeat_edges(&mut self) {
        let (width, height) = (usize::from(self.size.width), usize::from(self.size.height));
        let (columns, rows) = self.layout.plane(self.size, 0);
        let luma = &mut self.memory[..columns * rows];
        if columns > width {
            for row in luma.chunks_exact_mut(columns) {
                let last = row[width - 1];
                row[width..].fill(last);
            }
        }
        for row in height..rows {
            luma.copy_within((height - 1) * columns..height * columns, row * columns);
        }
    }
}
