//! Inputs near those of a corpus: bits, bytes, pieces, numbers and lengths of them are changed, and two are spliced.

use rand::Rng;
use rand::rngs::SmallRng;

/// An input is no longer than this, unless the corpus has a longer one.
const BYTES_MAX: usize = 1 << 14;
/// Numbers at which readers err.
const INTERESTING: [u64; 16] = [
    0,
    1,
    7,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// One of the corpus, changed in a few places.
pub fn input(corpus: &[Vec<u8>], random: &mut SmallRng) -> Vec<u8> {
    let mut input = corpus[random.random_range(0..corpus.len())].clone();
    let most = input.len().max(BYTES_MAX);
    for _ in 0..1 << random.random_range(0..5) {
        change(&mut input, corpus, random);
    }
    input.truncate(most);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut SmallRng) {
    let at = random.random_range(0..=input.len());
    match random.random_range(0..12) {
        0 | 1 => flip(input, at, random),
        2 => at_least_one(input, at, |byte| *byte = random.random()),
        3 => insert(input, at, &noise(random)),
        4 => drop(input.drain(piece(input, at, random))),
        5 => {
            let piece = input[piece(input, at, random)].to_vec();
            let copies = if random.random_bool(0.1) { 64 } else { 1 };
            insert(input, random.random_range(0..=input.len()), &piece.repeat(copies));
        }
        6 => {
            let other = &corpus[random.random_range(0..corpus.len())];
            input.truncate(at);
            input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
        }
        7 => {
            let other = &corpus[random.random_range(0..corpus.len())];
            let from = random.random_range(0..=other.len());
            insert(input, at, &other[piece(other, from, random)]);
        }
        8 => number(input, at, random),
        9 => insert(input, at, &varint(INTERESTING[random.random_range(0..INTERESTING.len())])),
        10 => lie(input, at, random),
        _ => input.truncate(at),
    }
}

fn flip(input: &mut [u8], at: usize, random: &mut SmallRng) {
    at_least_one(input, at, |byte| *byte ^= 1 << random.random_range(0..8));
}

fn at_least_one(input: &mut [u8], at: usize, mut change: impl FnMut(&mut u8)) {
    if let Some(byte) = input.get_mut(at) {
        change(byte);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

fn noise(random: &mut SmallRng) -> Vec<u8> {
    (0..random.random_range(1..9)).map(|_| random.random()).collect()
}

/// Mostly short ones, since a long one changes nearly all.
fn piece(bytes: &[u8], at: usize, random: &mut SmallRng) -> std::ops::Range<usize> {
    let left = bytes.len() - at;
    let most = if random.random_bool(0.8) { left.min(32) } else { left };
    at..at + random.random_range(0..=most)
}

/// A number of one to eight bytes, in either order of them, or one nearby.
fn number(input: &mut [u8], at: usize, random: &mut SmallRng) {
    let width = 1 << random.random_range(0..4);
    let Some(place) = input.get_mut(at..at + width) else { return };
    let number =
        INTERESTING[random.random_range(0..INTERESTING.len())].wrapping_add(random.random_range(0..3));
    place.copy_from_slice(&number.to_le_bytes()[..width]);
    if random.random_bool(0.5) {
        place.reverse();
    }
}

/// A byte that may be a length says a little more or less than there is.
fn lie(input: &mut [u8], at: usize, random: &mut SmallRng) {
    let by = random.random_range(1..=8);
    let more = random.random_bool(0.5);
    at_least_one(input, at, |byte| *byte = if more { byte.wrapping_add(by) } else { byte.wrapping_sub(by) });
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
