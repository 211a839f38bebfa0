//! A JPEG coder of coefficients for tests: by the book, a bit at a time, and nothing shared with what it judges but the
//! walk over segments.

use std::collections::HashMap;

use crate::jpeg::{Header, Item, Items, marker};

pub(super) type Coefficients = [i32; 64];

/// A component's blocks, in rows of `columns`, in whole units of the picture; and its quantisation table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) columns: usize,
    pub(super) blocks: Vec<Coefficients>,
    pub(super) quantisation: Vec<u16>,
}

impl Plane {
    /// The upper left part.
    pub(super) fn cropped(&self, columns: usize, rows: usize) -> Vec<Coefficients> {
        let row = |row: usize| &self.blocks[row * self.columns..][..columns];
        (0..rows).flat_map(row).copied().collect()
    }
}

/// Codes of a table, from (length, code) to symbol.
type Codes = HashMap<(u32, u32), u8>;

pub(super) fn codes(counts: &[u8], symbols: &[u8]) -> Codes {
    let mut codes = HashMap::new();
    let (mut code, mut symbols) = (0, symbols.iter());
    for (length, &count) in (1..).zip(counts) {
        for _ in 0..count {
            codes.insert((length, code), *symbols.next().expect("as many symbols as codes"));
            code += 1;
        }
        code <<= 1;
    }
    codes
}

struct Bits<'a> {
    data: &'a [u8],
    bit: u32,
}

impl Bits<'_> {
    fn one(&mut self) -> u32 {
        let bit = u32::from(self.data[0]) >> (7 - self.bit) & 1;
        self.bit += 1;
        if self.bit == 8 {
            self.data = &self.data[if self.data[0] == 0xFF { 2 } else { 1 }..];
            self.bit = 0;
        }
        bit
    }

    fn number(&mut self, size: u32) -> i32 {
        let bits = (0..size).fold(0, |bits, _| bits << 1 | self.one() as i32);
        if size > 0 && bits >> (size - 1) == 0 { bits - (1 << size) + 1 } else { bits }
    }

    fn symbol(&mut self, codes: &Codes) -> u8 {
        let mut code = 0;
        for length in 1..=16 {
            code = code << 1 | self.one();
            if let Some(symbol) = codes.get(&(length, code)) {
                return *symbol;
            }
        }
        panic!("no such code");
    }

    fn restart(&mut self, number: usize) {
        if self.bit > 0 {
            self.data = &self.data[if self.data[0] == 0xFF { 2 } else { 1 }..];
            self.bit = 0;
        }
        while self.data[1] == 0xFF {
            self.data = &self.data[1..];
        }
        assert_eq!(self.data[..2], [0xFF, marker::RST0 + number as u8 % 8]);
        self.data = &self.data[2..];
    }
}

/// The coefficients of a sound picture, by the order of its frame header.
pub(super) fn decode(picture: &[u8]) -> Vec<Plane> {
    let header = Header::parse(picture).expect("a sound header");
    let components = header.components();
    let most =
        |of: fn(&crate::jpeg::Component) -> u8| usize::from(components.iter().map(of).max().expect("some"));
    let (across, down) = (most(|c| c.horizontal), most(|c| c.vertical));
    let (width, height) = (usize::from(header.size.width), usize::from(header.size.height));
    let units = (width.div_ceil(8 * across), height.div_ceil(8 * down));
    let mut quantisation = vec![vec![]; 4];
    let mut huffman: HashMap<u8, Codes> = HashMap::new();
    let standard: &[u8] = include_bytes!("../../../../testdata/baseline.jpg");
    let mut planes: Vec<_> = components
        .iter()
        .map(|c| Plane {
            columns: units.0 * usize::from(c.horizontal),
            blocks: vec![[0; 64]; units.0 * units.1 * usize::from(c.horizontal * c.vertical)],
            quantisation: vec![],
        })
        .collect();
    let (mut interval, mut selectors) = (0, vec![]);
    if !header.has_dht {
        for item in Items::new(standard) {
            if let Ok(Item::Segment { code: marker::DHT, payload, .. }) = item {
                read_huffman(payload, &mut huffman);
            }
        }
    }
    for item in Items::new(picture) {
        match item.expect("a sound picture") {
            Item::Segment { code: marker::DQT, payload, .. } => {
                let mut rest = payload;
                while let Some((&selector, values)) = rest.split_first() {
                    let width = 1 + usize::from(selector >> 4);
                    let value =
                        |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
                    quantisation[usize::from(selector & 15)] =
                        values[..64 * width].chunks(width).map(value).collect();
                    rest = &values[64 * width..];
                }
            }
            Item::Segment { code: marker::DHT, payload, .. } => read_huffman(payload, &mut huffman),
            Item::Segment { code: marker::DRI, payload, .. } => {
                interval = usize::from(payload[0]) << 8 | usize::from(payload[1]);
            }
            Item::Segment { code: marker::SOS, payload, .. } => {
                selectors =
                    payload[1..=2 * usize::from(payload[0])].chunks(2).map(|c| (c[0], c[1])).collect();
            }
            Item::Segment { .. } => {}
            Item::Scan { data, .. } => {
                let mut bits = Bits { data, bit: 0 };
                let mut predictors = [0; 4];
                let alone = selectors.len() == 1;
                let chosen: Vec<_> = selectors
                    .iter()
                    .map(|(id, tables)| {
                        let index = components.iter().position(|c| c.id == *id).expect("known");
                        (index, &huffman[&(tables >> 4)], &huffman[&(0x10 | tables & 15)])
                    })
                    .collect();
                let first = components[chosen[0].0];
                let size = |total: usize, own: u8, most: usize| {
                    (total * usize::from(own)).div_ceil(most).div_ceil(8)
                };
                let grid = if alone {
                    (size(width, first.horizontal, across), size(height, first.vertical, down))
                } else {
                    units
                };
                for unit in 0..grid.0 * grid.1 {
                    if interval > 0 && unit > 0 && unit % interval == 0 {
                        bits.restart(unit / interval - 1);
                        predictors = [0; 4];
                    }
                    for &(index, dc, ac) in &chosen {
                        let (h, v) = match components[index] {
                            _ if alone => (1, 1),
                            c => (usize::from(c.horizontal), usize::from(c.vertical)),
                        };
                        for part in 0..h * v {
                            let column = unit % grid.0 * h + part % h;
                            let row = unit / grid.0 * v + part / h;
                            let plane = &mut planes[index];
                            let block = &mut plane.blocks[row * plane.columns + column];
                            let size = bits.symbol(dc);
                            predictors[index] += bits.number(size.into());
                            block[0] = predictors[index];
                            let mut at = 1;
                            while at < 64 {
                                let symbol = bits.symbol(ac);
                                if symbol == 0 {
                                    break;
                                }
                                at += usize::from(symbol >> 4);
                                block[at] = bits.number((symbol & 15).into());
                                at += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    for (plane, component) in planes.iter_mut().zip(components) {
        plane.quantisation = quantisation[usize::from(component.quantisation_table)].clone();
    }
    planes
}

fn read_huffman(payload: &[u8], tables: &mut HashMap<u8, Codes>) {
    let mut rest = payload;
    while let Some((&selector, table)) = rest.split_first() {
        let total = table[..16].iter().map(|count| usize::from(*count)).sum::<usize>();
        tables.insert(selector, codes(&table[..16], &table[16..16 + total]));
        rest = &table[16 + total..];
    }
}

/// A table to encode with: its DHT payload behind the selector, and each symbol's (length, code).
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) payload: Vec<u8>,
    codes: HashMap<u8, (u32, u32)>,
}

impl Table {
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Self {
        let inverse = codes(counts, symbols).into_iter().map(|(code, symbol)| (symbol, code)).collect();
        Self { payload: [counts, symbols].concat(), codes: inverse }
    }
}

/// What the encoder is to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) width: u16,
    pub(super) height: u16,
    /// Id, H and V, quantisation table, in the order of the frame header.
    pub(super) components: Vec<(u8, u8, u8, u8)>,
    /// Indices of components, by scan.
    pub(super) scans: Vec<Vec<usize>>,
    pub(super) interval: u16,
    /// DC and AC by index of component; `None` leaves DHT out and uses these all the same.
    pub(super) tables: Vec<[Table; 2]>,
    pub(super) with_dht: bool,
    /// DQT payloads.
    pub(super) quantisation: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    bits: u32,
    count: u32,
}

impl Out {
    fn put(&mut self, bits: u32, count: u32) {
        for index in (0..count).rev() {
            self.bits = self.bits << 1 | bits >> index & 1;
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.bits as u8);
                if self.bits as u8 == 0xFF {
                    self.bytes.push(0);
                }
                (self.bits, self.count) = (0, 0);
            }
        }
    }

    fn pad(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }

    fn number(&mut self, number: i32, size: u32) {
        self.put((if number < 0 { number - 1 } else { number }) as u32, size);
    }

    fn symbol(&mut self, symbol: u8, table: &Table) {
        let (length, code) = table.codes[&symbol];
        self.put(code, length);
    }

    fn block(&mut self, block: &Coefficients, predictor: &mut i32, [dc, ac]: &[Table; 2]) {
        let size = |number: i32| 32 - number.unsigned_abs().leading_zeros();
        let difference = block[0] - *predictor;
        *predictor = block[0];
        self.symbol(size(difference) as u8, dc);
        self.number(difference, size(difference));
        let mut run = 0;
        for &value in &block[1..] {
            if value == 0 {
                run += 1;
                continue;
            }
            while run > 15 {
                self.symbol(0xF0, ac);
                run -= 16;
            }
            self.symbol(run << 4 | size(value) as u8, ac);
            self.number(value, size(value));
            run = 0;
        }
        if run > 0 {
            self.symbol(0, ac);
        }
    }
}

/// A picture of blocks that `source` gives by component, column and row.
pub(super) fn encode(plan: &Plan, mut source: impl FnMut(usize, usize, usize) -> Coefficients) -> Vec<u8> {
    let mut file = vec![0xFF, marker::SOI];
    let mut segment = |code: u8, payload: &[u8]| {
        file.extend([0xFF, code]);
        file.extend((payload.len() as u16 + 2).to_be_bytes());
        file.extend(payload);
    };
    for table in &plan.quantisation {
        segment(marker::DQT, table);
    }
    let mut frame = vec![8];
    frame.extend(plan.height.to_be_bytes());
    frame.extend(plan.width.to_be_bytes());
    frame.push(plan.components.len() as u8);
    for &(id, h, v, table) in &plan.components {
        frame.extend([id, h << 4 | v, table]);
    }
    segment(marker::SOF0, &frame);
    if plan.interval > 0 {
        segment(marker::DRI, &plan.interval.to_be_bytes());
    }
    if plan.with_dht {
        for (index, [dc, ac]) in plan.tables.iter().enumerate() {
            segment(marker::DHT, &[&[index as u8], &dc.payload[..]].concat());
            segment(marker::DHT, &[&[0x10 | index as u8], &ac.payload[..]].concat());
        }
    }
    let most =
        |of: fn(&(u8, u8, u8, u8)) -> u8| usize::from(plan.components.iter().map(of).max().expect("some"));
    let (across, down) = (most(|c| c.1), most(|c| c.2));
    let (width, height) = (usize::from(plan.width), usize::from(plan.height));
    for scan in &plan.scans {
        let mut header = vec![scan.len() as u8];
        for &index in scan {
            let table = if plan.with_dht { index as u8 * 0x11 } else { u8::from(index > 0) * 0x11 };
            header.extend([plan.components[index].0, table]);
        }
        header.extend([0, 63, 0]);
        file.extend([0xFF, marker::SOS, 0, header.len() as u8 + 2]);
        file.extend(&header);
        let alone = scan.len() == 1;
        let first = plan.components[scan[0]];
        let size = |total: usize, own: u8, most: usize| (total * usize::from(own)).div_ceil(most).div_ceil(8);
        let grid = if alone {
            (size(width, first.1, across), size(height, first.2, down))
        } else {
            (width.div_ceil(8 * across), height.div_ceil(8 * down))
        };
        let mut out = Out::default();
        let mut predictors = [0; 3];
        for unit in 0..grid.0 * grid.1 {
            let interval = usize::from(plan.interval);
            if interval > 0 && unit > 0 && unit % interval == 0 {
                out.pad();
                out.bytes.extend([0xFF, marker::RST0 + (unit / interval - 1) as u8 % 8]);
                predictors = [0; 3];
            }
            for &index in scan {
                let (_, h, v, _) = plan.components[index];
                let (h, v) = if alone { (1, 1) } else { (usize::from(h), usize::from(v)) };
                for part in 0..h * v {
                    let (column, row) = (unit % grid.0 * h + part % h, unit / grid.0 * v + part / h);
                    let block = source(index, column, row);
                    out.block(&block, &mut predictors[index], &plan.tables[index]);
                }
            }
        }
        out.pad();
        file.extend(&out.bytes);
    }
    file.extend([0xFF, marker::EOI]);
    file
}
