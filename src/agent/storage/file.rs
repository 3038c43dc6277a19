//! One file, whole or not there: written beside its place, synced, and renamed into it; checksummed, with its format in
//! front.
//!
//! ```text
//! "isotelck" | format u32 | 0 u32 | length u64 | xxh3 of the content u128        40 bytes, then the content
//! ```

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use xxhash_rust::xxh3::xxh3_128;

const MAGIC: &[u8; 8] = b"isotelck";
const HEADER: usize = 40;

/// Why a file has no content.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not what was written.
    #[error("is damaged")]
    Damaged,
    /// Another format than the one that is read.
    #[error("is of format {found}")]
    OtherFormat {
        /// Its format.
        found: u32,
    },
    /// The system's words.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a file that is there as a whole once this returns, whatever happens; one of that name is replaced. Returns its
/// bytes.
///
/// # Errors
/// The system's words; an older file of that name stays.
pub fn write(directory: &Path, name: &str, format: u32, content: &[u8]) -> io::Result<u64> {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&format.to_le_bytes());
    header[16..24].copy_from_slice(&(content.len() as u64).to_le_bytes());
    header[24..].copy_from_slice(&xxh3_128(content).to_le_bytes());
    let beside = directory.join(format!("{name}.tmp"));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    let written =
        file.write_all(&header).and_then(|()| file.write_all(content)).and_then(|()| file.sync_all());
    if let Err(cause) = written {
        // Room is what is missing as a rule.
        let _ = std::fs::remove_file(&beside);
        return Err(cause);
    }
    std::fs::rename(&beside, directory.join(name))?;
    File::open(directory)?.sync_all()?;
    Ok((HEADER + content.len()) as u64)
}

/// The content of a file.
///
/// # Errors
/// [`ReadError`]
pub fn read(path: &Path, format: u32) -> Result<Vec<u8>, ReadError> {
    let mut bytes = std::fs::read(path)?;
    let header = bytes.get(..HEADER).filter(|header| header.starts_with(MAGIC)).ok_or(ReadError::Damaged)?;
    let found = header[8..12].try_into().map(u32::from_le_bytes).map_err(|_| ReadError::Damaged)?;
    let sum = header[24..].try_into().map(u128::from_le_bytes).map_err(|_| ReadError::Damaged)?;
    if found != format {
        return Err(ReadError::OtherFormat { found });
    }
    let length = header[16..24].try_into().map(u64::from_le_bytes).map_err(|_| ReadError::Damaged)?;
    bytes.drain(..HEADER);
    match bytes.len() as u64 == length && xxh3_128(&bytes) == sum {
        true => Ok(bytes),
        false => Err(ReadError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_back_and_a_flipped_bit_or_a_missing_byte_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(folder.path(), "a", 3, b"first").unwrap();
        assert_eq!(write(folder.path(), "a", 3, b"content").unwrap(), 47);
        assert_eq!(read(&path, 3).unwrap(), b"content");
        assert!(matches!(read(&path, 2), Err(ReadError::OtherFormat { found: 3 })));
        let good = std::fs::read(&path).unwrap();
        // The four bytes after the format mean nothing.
        for bit in (0..good.len() * 8).filter(|bit| !(96..128).contains(bit)) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path, 3).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(matches!(read(&path, 3), Err(ReadError::Damaged)), "{length} bytes");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
