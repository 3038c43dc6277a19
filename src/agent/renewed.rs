//! What is made of files, and made again when they change: certificates, keys, tokens.
//!
//! Nothing watches: whoever needs the thing looks at the files first, when it is time. What cannot be made of the new files
//! leaves the old thing as it is.

use std::{
    fmt::Display,
    hash::Hasher,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

type Make<T, E> = dyn Fn() -> Result<T, E> + Send + Sync;

/// Something made of files.
pub(crate) struct Renewed<T, E> {
    /// The setting that names the files, for the log.
    key: String,
    files: Vec<String>,
    /// The least time between two looks; without it there is one only when asked for.
    interval: Option<Duration>,
    make: Box<Make<T, E>>,
    looked: Mutex<Looked>,
    current: ArcSwap<T>,
}

struct Looked {
    at: Instant,
    /// A hash of all the files' content.
    seen: u64,
}

impl<T, E: Display> Renewed<T, E> {
    /// Makes it for the first time.
    ///
    /// # Errors
    /// As `make` returns them.
    pub(crate) fn new(
        key: &str,
        files: Vec<String>,
        interval: Option<Duration>,
        make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // Content first: files that change in between are then made again and never missed.
        let looked = Looked { at: Instant::now(), seen: content(&files) };
        let current = ArcSwap::from_pointee(make()?);
        let (key, make) = (key.to_owned(), Box::new(make));
        Ok(Renewed { key, files, interval, make, looked: Mutex::new(looked), current })
    }

    /// The thing as it is now. When it is time, one caller reads the files first: a few kilobytes, at most once an interval.
    pub(crate) fn load(&self) -> Arc<T> {
        if let Some(interval) = self.interval
            && let Ok(mut looked) = self.looked.try_lock()
            && looked.at.elapsed() >= interval
            && let Err(cause) = self.look(&mut looked)
        {
            let key = &self.key;
            tracing::error!(key, %cause, "the changed files cannot be used; what they held before goes on");
        }
        self.current.load_full()
    }

    /// Looks at the files now.
    ///
    /// # Errors
    /// As `make` returns them; what was goes on.
    pub(crate) fn renew(&self) -> Result<(), E> {
        self.look(&mut self.looked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self, looked: &mut Looked) -> Result<(), E> {
        looked.at = Instant::now();
        let seen = content(&self.files);
        if seen != looked.seen {
            self.current.store(Arc::new((self.make)()?));
            looked.seen = seen;
            tracing::info!(key = self.key, "changed files were read");
        }
        Ok(())
    }
}

/// A file that cannot be read counts as empty: what is wrong with it is said when it is used.
fn content(files: &[String]) -> u64 {
    let mut hash = Xxh3::new();
    for file in files {
        let bytes = std::fs::read(file).unwrap_or_default();
        hash.write_usize(bytes.len());
        hash.update(&bytes);
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, interval: Option<Duration>) -> Renewed<String, String> {
        let file = path.to_owned();
        let make = move || match std::fs::read_to_string(&file) {
            Ok(text) if text.starts_with("good") => Ok(text),
            other => Err(format!("{other:?}")),
        };
        Renewed::new("key", vec![path.to_owned()], interval, make).unwrap()
    }

    #[test]
    fn a_change_is_seen_by_the_next_look_and_a_bad_one_leaves_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file").display().to_string();
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("good 1");
        let (asked, looking) = (of(&path, None), of(&path, Some(Duration::ZERO)));
        write("good 2");
        assert_eq!((asked.load().as_str(), looking.load().as_str()), ("good 1", "good 2"));
        asked.renew().unwrap();
        assert_eq!(asked.load().as_str(), "good 2");
        write("bad");
        assert!(asked.renew().unwrap_err().contains("bad"));
        assert!(asked.renew().is_err(), "it is not forgotten");
        assert_eq!((asked.load().as_str(), looking.load().as_str()), ("good 2", "good 2"));
        std::fs::remove_file(&path).unwrap();
        assert!(asked.renew().is_err() && looking.load().as_str() == "good 2");
        write("good 3");
        asked.renew().unwrap();
        assert_eq!((asked.load().as_str(), looking.load().as_str()), ("good 3", "good 3"));
        let later = of(&path, Some(Duration::from_secs(3_600)));
        write("good 4");
        assert_eq!(later.load().as_str(), "good 3", "it is not time");
    }
}
