//! An append-only log of checksummed records in segments of bounded size: append, read from a position, trim.
//!
//! It knows nothing of what a record means. A *position* is a place in all that was ever appended; it only rises, over
//! segments and restarts. A record that [`Log::append`] returned from is in the page cache, so that it survives the end of
//! the process; [`Log::sync`] has it survive the end of power too.
//!
//! On disk a segment is `PREFIX-<position of its first byte>.log`: a header, twice so that no single damage loses a
//! segment, and records:
//!
//! ```text
//! header  "isotelog" | format u32 | 0 u32 | position u64 | seed u64 | xxh3 of these u64           40 bytes, twice
//! record  "isrc" | length u32 | label 16 bytes | xxh3 of the body u64 | xxh3 of these u64         40 bytes, then the body
//! ```
//!
//! Numbers are little-endian. Checksums are seeded by the segment's random seed, those of a record's head by its position
//! too: whoever sends a request that looks like a record makes no record of it. A body with a wrong checksum loses that
//! record; a damaged head loses the way to the next one, which is then searched for byte by byte. What no record follows on
//! is a torn tail: the end of a write that was cut short.

use std::{
    fs::{File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, IoSlice, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The form of a segment; a greater one is refused.
pub const FORMAT: u32 = 1;
/// A segment that has this many bytes gets no further record.
const SEGMENT_BYTES: u64 = 16 << 20;
/// No segment begins later, and none that states so is read: positions are sums of bytes, and sums stay sums.
const BASE_MAX: u64 = u64::MAX >> 1;
const SEGMENT_MAGIC: &[u8; 8] = b"isotelog";
const RECORD_MAGIC: &[u8; 4] = b"isrc";
/// Bytes of one of the two headers of a segment.
const HEADER: usize = 40;
/// Where the first record of a segment begins.
const FIRST: usize = 2 * HEADER;
/// Bytes of a record before its body.
const HEAD: usize = 40;

/// Bytes that a record takes on disk beside its body.
pub const RECORD_BYTES: u64 = HEAD as u64;

/// What the user of a log says of a record.
pub type Label = [u8; 16];

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bound on bytes.
    #[error("the log is at its bound of {bound} bytes")]
    Full {
        /// The bound.
        bound: u64,
    },
    /// A body beyond what a record can hold.
    #[error("a record of {bytes} bytes is too long")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// The system's words, a full disk among them.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A segment of a later isotel.
    #[error("{} is of format {found}, and this isotel reads up to {FORMAT}", path.display())]
    Future {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The system's words.
    #[error("{}: {cause}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// A part of a segment that no record could be read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub path: PathBuf,
    /// Where it begins in the file, bytes.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong.
    pub what: Fault,
}

/// What is wrong with a part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both headers of the segment: none of it can be read.
    Header,
    /// Bytes that are no record, before one that is.
    Head,
    /// A record whose body is not what was written.
    Body,
    /// Bytes after the last record: a write that was cut short.
    Tail,
}

impl Fault {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Header => "segment header",
            Fault::Head => "record head",
            Fault::Body => "record body",
            Fault::Tail => "torn tail",
        }
    }
}

/// Why a record was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not what was written.
    #[error("{} at {}, {} bytes: {}", .0.path.display(), .0.offset, .0.bytes, .0.what.as_str())]
    Damaged(Damage),
    /// The system's words; it may be there another time.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What reading a log came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Read {
    /// Good records.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The rest.
    pub damaged: Vec<Damage>,
}

/// A log in a directory, for one process.
#[derive(Debug)]
pub struct Log {
    directory: PathBuf,
    prefix: &'static str,
    seed: u64,
    /// Bytes that the segments may have together.
    bound: AtomicU64,
    bytes: AtomicU64,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    /// Segments that get no further record, oldest first.
    closed: Vec<Segment>,
    active: Option<(Segment, File)>,
    /// Where the next record goes.
    next: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    path: PathBuf,
    base: u64,
    bytes: u64,
    /// Whether its directory knows it and the disk has all of it.
    synced: bool,
}

impl Segment {
    fn end(&self) -> u64 {
        self.base + self.bytes
    }
}

impl Log {
    /// Opens the segments of this name in a directory. New records have positions from `from` on at least.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has been changed then.
    pub fn open(directory: &Path, prefix: &'static str, bound: u64, from: u64) -> Result<Log, OpenError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |cause| OpenError::Io { path, cause }
        };
        let mut closed = segments(directory, prefix)?;
        // One whose making was cut short holds nothing, and its name is wanted.
        for empty in closed.extract_if(.., |segment| segment.bytes == 0) {
            std::fs::remove_file(&empty.path).map_err(io(&empty.path))?;
        }
        let next = closed.iter().map(Segment::end).max().unwrap_or(0).max(from);
        let bytes = closed.iter().map(|segment| segment.bytes).sum();
        Ok(Log {
            directory: directory.to_owned(),
            prefix,
            seed: RandomState::new().hash_one(next),
            bound: AtomicU64::new(bound),
            bytes: AtomicU64::new(bytes),
            writer: Mutex::new(Writer { closed, active: None, next }),
        })
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Another bound on the bytes of all segments.
    pub fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Relaxed);
    }

    /// Whether a small record would still be taken.
    pub fn has_room(&self) -> bool {
        self.bytes() + (HEAD + FIRST) as u64 <= self.bound.load(Relaxed)
    }

    /// Where the next record goes: all that has been appended lies before it.
    pub fn position(&self) -> u64 {
        self.writer().next
    }

    /// Appends a record and returns the position after it. One lock, one write.
    ///
    /// # Errors
    /// [`AppendError`]; then there is no such record, now or after a restart.
    pub fn append(&self, label: &Label, body: &[u8]) -> Result<u64, AppendError> {
        let too_long = |_| AppendError::TooLong { bytes: body.len() };
        let length = u32::try_from(body.len()).map_err(too_long)?;
        let sum = xxh3_64_with_seed(body, self.seed);
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(RECORD_MAGIC);
        head[4..8].copy_from_slice(&length.to_le_bytes());
        head[8..24].copy_from_slice(label);
        head[24..32].copy_from_slice(&sum.to_le_bytes());
        let bytes = (HEAD + body.len()) as u64;

        let mut writer = self.writer();
        let writer = &mut *writer;
        let full = writer.active.as_ref().is_none_or(|(segment, _)| segment.bytes >= SEGMENT_BYTES);
        let more = if full { FIRST as u64 } else { 0 };
        let bound = self.bound.load(Relaxed);
        if self.bytes() + bytes + more > bound {
            return Err(AppendError::Full { bound });
        }
        if full {
            if writer.next > BASE_MAX {
                let far =
                    "a segment's name states a position that no log comes to; move it out of the directory";
                return Err(io::Error::other(far).into());
            }
            self.begin(writer)?;
        }
        let Some((segment, file)) = &mut writer.active else {
            return Err(io::Error::other("no segment is open").into());
        };
        let sum = xxh3_64_with_seed(&head[..HEAD - 8], self.seed ^ writer.next);
        head[HEAD - 8..].copy_from_slice(&sum.to_le_bytes());
        if let Err(cause) = write_both(file, &head, body) {
            // What was written of it must not stay. Where that fails too, the rest of the segment is a torn tail.
            if file.set_len(segment.bytes).is_err() {
                self.close(writer);
            }
            return Err(cause.into());
        }
        segment.bytes += bytes;
        writer.next += bytes;
        self.bytes.fetch_add(bytes, Relaxed);
        Ok(writer.next)
    }

    /// Has the next record begin a segment, and returns its position.
    pub fn roll(&self) -> u64 {
        let mut writer = self.writer();
        self.close(&mut writer);
        writer.next
    }

    /// Has all records before the position that is returned survive the end of power. Whoever appends does not wait for it.
    ///
    /// # Errors
    /// The system's words. The segment is closed then: what the disk has of it is not known.
    pub fn sync(&self) -> io::Result<u64> {
        let (unsynced, next) = {
            let writer = self.writer();
            let active = writer.active.iter().map(|(segment, _)| segment);
            let unsynced = writer.closed.iter().filter(|segment| !segment.synced).chain(active);
            (unsynced.map(|segment| (segment.path.clone(), segment.synced)).collect::<Vec<_>>(), writer.next)
        };
        let sync = |(path, named): &(PathBuf, bool)| {
            match File::open(path) {
                // Trimmed meanwhile: nobody needs it.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
                file => file?.sync_data()?,
            }
            if *named { Ok(()) } else { File::open(&self.directory)?.sync_all() }
        };
        if let Err(cause) = unsynced.iter().try_for_each(sync) {
            self.roll();
            return Err(cause);
        }
        let mut writer = self.writer();
        let known = |segment: &Segment| unsynced.iter().any(|(path, _)| *path == segment.path);
        for segment in writer.closed.iter_mut().filter(|segment| known(segment)) {
            // What was appended between the look and the end of the sync is not on the disk for sure.
            segment.synced = segment.end() <= next;
        }
        if let Some((segment, _)) = writer.active.as_mut().filter(|(segment, _)| known(segment)) {
            segment.synced = true;
        }
        Ok(next)
    }

    /// Removes the segments that lie before a position as a whole, and returns how many.
    ///
    /// # Errors
    /// The system's words; what could not be removed is tried again the next time.
    pub fn trim(&self, before: u64) -> io::Result<usize> {
        let gone: Vec<Segment> = {
            let writer = self.writer();
            writer.closed.iter().filter(|segment| segment.end() <= before).cloned().collect()
        };
        for segment in &gone {
            std::fs::remove_file(&segment.path)?;
            self.writer().closed.retain(|known| known != segment);
            self.bytes.fetch_sub(segment.bytes, Relaxed);
        }
        Ok(gone.len())
    }

    /// Reads the records from a position on, in order, each with the position where it begins. Call before the first append. A
    /// torn tail of the last segment is cut off the file.
    ///
    /// # Errors
    /// [`OpenError::Io`] when a segment cannot be read at all.
    pub fn read(&self, from: u64, mut each: impl FnMut(u64, &Label, &[u8])) -> Result<Read, OpenError> {
        let segments = self.writer().closed.clone();
        let mut read = Read::default();
        for (at, segment) in segments.iter().enumerate().filter(|(_, segment)| segment.end() > from) {
            let io = |cause| OpenError::Io { path: segment.path.clone(), cause };
            let bytes = std::fs::read(&segment.path).map_err(io)?;
            let mut parts = Parts::new(&bytes, segment.base);
            for part in &mut parts {
                match part {
                    Part::Record { position, .. } if position < from => {}
                    Part::Record { position, label, body } => {
                        read.records += 1;
                        read.bytes += body.len() as u64;
                        each(position, label, body);
                    }
                    Part::Damage { offset, bytes, what } => {
                        let last = at + 1 == segments.len();
                        if last && what == Fault::Tail {
                            self.cut(segment, offset as u64).map_err(io)?;
                        }
                        let (offset, bytes) = (offset as u64, bytes as u64);
                        read.damaged.push(Damage { path: segment.path.clone(), offset, bytes, what });
                    }
                }
            }
        }
        Ok(read)
    }

    /// Reads all records of a log that another process may be writing, and changes nothing.
    ///
    /// # Errors
    /// [`OpenError`]; without such a directory too.
    pub fn look(
        directory: &Path,
        prefix: &'static str,
        mut each: impl FnMut(&Label, &[u8]),
    ) -> Result<Read, OpenError> {
        let mut read = Read::default();
        for Segment { path, base, .. } in segments(directory, prefix)? {
            let bytes = match std::fs::read(&path) {
                // Its time was over meanwhile.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.map_err(|cause| OpenError::Io { path: path.clone(), cause })?,
            };
            for part in Parts::new(&bytes, base) {
                match part {
                    Part::Record { label, body, .. } => {
                        read.records += 1;
                        read.bytes += body.len() as u64;
                        each(label, body);
                    }
                    Part::Damage { offset, bytes, what } => {
                        let (offset, bytes) = (offset as u64, bytes as u64);
                        read.damaged.push(Damage { path: path.clone(), offset, bytes, what });
                    }
                }
            }
        }
        Ok(read)
    }

    /// The body of the record that begins at a position and was told to have this length; checked once more.
    ///
    /// # Errors
    /// [`FetchError`]
    pub fn fetch(&self, position: u64, length: usize) -> Result<Vec<u8>, FetchError> {
        let (path, base) = {
            let writer = self.writer();
            let mut segments = writer.closed.iter().chain(writer.active.iter().map(|(segment, _)| segment));
            let segment = segments.find(|segment| (segment.base..segment.end()).contains(&position));
            let segment = segment.ok_or_else(|| io::Error::other("no segment has this position"))?;
            (segment.path.clone(), segment.base)
        };
        let damaged = |path, what| {
            let (offset, bytes) = (position - base, (HEAD + length) as u64);
            FetchError::Damaged(Damage { path, offset, bytes, what })
        };
        let read = |bytes: &mut [u8], at| match File::open(&path)
            .and_then(|file| file.read_exact_at(bytes, at))
        {
            Err(cause) if matches!(cause.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => {
                Ok(false)
            }
            read => read.map(|()| true),
        };
        let mut headers = [0; FIRST];
        let mut record = vec![0; HEAD + length];
        if !read(&mut headers, 0)? || !read(&mut record, position - base)? {
            return Err(damaged(path, Fault::Tail));
        }
        let Some(seed) = Parts::new(&headers, base).seed else { return Err(damaged(path, Fault::Header)) };
        let sum = match (Parts { bytes: &record, base: position, at: 0, seed: None }).head(0, seed) {
            Some((_, said, sum)) if said == length => sum,
            _ => return Err(damaged(path, Fault::Head)),
        };
        record.drain(..HEAD);
        match xxh3_64_with_seed(&record, seed) == sum {
            true => Ok(record),
            false => Err(damaged(path, Fault::Body)),
        }
    }

    fn cut(&self, segment: &Segment, to: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(&segment.path)?.set_len(to)?;
        let mut writer = self.writer();
        if let Some(known) = writer.closed.iter_mut().find(|known| *known == segment) {
            self.bytes.fetch_sub(known.bytes - to, Relaxed);
            known.bytes = to;
        }
        Ok(())
    }

    fn begin(&self, writer: &mut Writer) -> io::Result<()> {
        self.close(writer);
        let path = self.directory.join(format!("{}-{:020}.log", self.prefix, writer.next));
        let mut file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path)?;
        let header = header(writer.next, self.seed);
        if let Err(cause) = write_both(&mut file, &header, &header) {
            // It holds nothing yet; were it to stay, the next attempt would find its name taken.
            std::fs::remove_file(&path)?;
            return Err(cause);
        }
        let segment = Segment { path, base: writer.next, bytes: FIRST as u64, synced: false };
        writer.active = Some((segment, file));
        writer.next += FIRST as u64;
        self.bytes.fetch_add(FIRST as u64, Relaxed);
        Ok(())
    }

    fn close(&self, writer: &mut Writer) {
        if let Some((segment, _)) = writer.active.take() {
            writer.closed.push(Segment { synced: false, ..segment });
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The segments of a log, rising.
fn segments(directory: &Path, prefix: &str) -> Result<Vec<Segment>, OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |cause| OpenError::Io { path, cause }
    };
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(io(directory))? {
        let path = entry.map_err(io(directory))?.path();
        let Some(base) = base_of(&path, prefix) else { continue };
        let bytes = std::fs::metadata(&path).map_err(io(&path))?.len();
        if let Some(found) = format_of(&path).map_err(io(&path))?.filter(|found| *found > FORMAT) {
            return Err(OpenError::Future { path, found });
        }
        segments.push(Segment { path, base, bytes, synced: true });
    }
    segments.sort_by_key(|segment| segment.base);
    Ok(segments)
}

/// Both, in one call as a rule.
fn write_both(file: &mut File, head: &[u8], body: &[u8]) -> io::Result<()> {
    let written = match file.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
        Err(cause) if cause.kind() == io::ErrorKind::Interrupted => 0,
        written => written?,
    };
    file.write_all(&head[written.min(head.len())..])?;
    file.write_all(&body[written.saturating_sub(head.len()).min(body.len())..])
}

fn header(base: u64, seed: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..24].copy_from_slice(&base.to_le_bytes());
    header[24..32].copy_from_slice(&seed.to_le_bytes());
    let sum = xxh3_64_with_seed(&header[..32], 0);
    header[32..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The position in a segment's name; `None` of any other file, and of positions that no log comes to.
fn base_of(path: &Path, prefix: &str) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let base = name.strip_prefix(prefix)?.strip_prefix('-')?.strip_suffix(".log")?.parse().ok();
    base.filter(|base| *base <= BASE_MAX)
}

/// The format that a segment states; `None` where its beginning is damaged.
fn format_of(path: &Path) -> io::Result<Option<u32>> {
    use std::io::Read as _;
    let mut start = Vec::with_capacity(FIRST);
    File::open(path)?.take(FIRST as u64).read_to_end(&mut start)?;
    Ok(start.chunks_exact(HEADER).find_map(|header| whole(header).then(|| number(&header[8..12]) as u32)))
}

/// Whether a header is what was written.
fn whole(header: &[u8]) -> bool {
    header.starts_with(SEGMENT_MAGIC) && number(&header[32..40]) == xxh3_64_with_seed(&header[..32], 0)
}

/// A little-endian number of eight bytes at most.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A part of a segment.
enum Part<'a> {
    Record { position: u64, label: &'a Label, body: &'a [u8] },
    Damage { offset: usize, bytes: usize, what: Fault },
}

/// Takes a segment apart.
struct Parts<'a> {
    bytes: &'a [u8],
    base: u64,
    at: usize,
    seed: Option<u64>,
}

impl<'a> Parts<'a> {
    fn new(bytes: &'a [u8], base: u64) -> Parts<'a> {
        let headers = bytes.get(..FIRST).unwrap_or(bytes).chunks_exact(HEADER);
        let seed = headers.into_iter().find(|header| whole(header)).map(|header| number(&header[24..32]));
        Parts { bytes, base, at: 0, seed }
    }

    /// The label and the length of a record that begins here, if its head is whole.
    fn head(&self, at: usize, seed: u64) -> Option<(&'a Label, usize, u64)> {
        let head = self.bytes.get(at..at.checked_add(HEAD)?)?;
        let (said, sum) = head.split_at(HEAD - 8);
        let good = said.starts_with(RECORD_MAGIC)
            && number(sum) == xxh3_64_with_seed(said, seed ^ (self.base + at as u64));
        let label: &Label = said[8..24].try_into().ok()?;
        good.then(|| (label, number(&said[4..8]) as usize, number(&said[24..32])))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let Some(seed) = self.seed.filter(|_| self.bytes.len() >= FIRST) else {
            let (offset, bytes) = (self.at, self.bytes.len() - self.at);
            self.at = self.bytes.len();
            // A segment that ends before its headers do was cut short when it was begun.
            let what = if self.bytes.len() < FIRST { Fault::Tail } else { Fault::Header };
            return (bytes > 0).then_some(Part::Damage { offset, bytes, what });
        };
        self.at = self.at.max(FIRST);
        let (offset, left) = (self.at, self.bytes.len().checked_sub(self.at).filter(|left| *left > 0)?);
        if let Some((label, length, sum)) = self.head(offset, seed) {
            let Some(body) = self.bytes.get(offset + HEAD..).and_then(|rest| rest.get(..length)) else {
                self.at = self.bytes.len();
                return Some(Part::Damage { offset, bytes: left, what: Fault::Tail });
            };
            self.at += HEAD + length;
            return Some(match xxh3_64_with_seed(body, seed) == sum {
                true => Part::Record { position: self.base + offset as u64, label, body },
                false => Part::Damage { offset, bytes: HEAD + length, what: Fault::Body },
            });
        }
        let next = (offset + 1..self.bytes.len()).find(|at| self.head(*at, seed).is_some());
        self.at = next.unwrap_or(self.bytes.len());
        let what = if next.is_some() { Fault::Head } else { Fault::Tail };
        Some(Part::Damage { offset, bytes: self.at - offset, what })
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
