//! The content of objects and parts: in files, but for what is small enough for the row of its object.
//!
//! A blob is written once, under a random name, and never changed. It exists for everyone else once a row names it:
//! so it is written in place, and what a crash leaves behind is a file that no row names, which [`Blobs::sweep`] removes
//! at the next start. Where the store waits for the disk, so does this: a blob is there before the row that names it.
//! Names of buckets and keys never become paths.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use md5::{Digest, Md5};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, AsyncWriteExt, ReadBuf};

use super::checksum::Hasher;
use crate::clock::Ids;

/// How many bytes are held in memory per transfer; what fits is read or written in one step.
const BUFFER_BYTES: usize = 256 * 1024;

/// A folder of blobs.
#[derive(Clone, Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    /// Content that is no longer gets no file unless it must have one.
    small_bytes: usize,
    ids: Ids,
    /// Whether a blob is on the disk before it is given out.
    synced: bool,
}

/// Content that has arrived.
pub(super) struct Received {
    pub(super) draft: Draft,
    pub(super) size_bytes: u64,
    pub(super) md5: [u8; 16],
    pub(super) hasher: Hasher,
}

/// Content that no row has yet: its file goes when this does.
pub(super) struct Draft {
    path: PathBuf,
    name: String,
    /// Whether there is a file: not where the content is small, or there is none.
    written: bool,
    /// The content, where it is small.
    content: Option<Vec<u8>>,
    synced: bool,
}

/// Where content is that has been released to its row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) content: Option<Vec<u8>>,
    pub(super) blob: Option<String>,
}

impl Draft {
    /// Leaves the file to whoever writes the row that names it.
    ///
    /// Before the row is written: a caller who goes away while it is must not take the file along. What is left
    /// if the row is never written is an orphan for the next sweep.
    pub(super) fn release(mut self) -> Kept {
        let written = std::mem::take(&mut self.written);
        Kept {
            content: self.content.take(),
            blob: written.then(|| std::mem::take(&mut self.name)),
        }
    }

    /// As [`release`](Self::release), with a file though the content is small; `None`: there is no content.
    pub(super) async fn release_file(mut self) -> io::Result<Option<String>> {
        if let Some(content) = self.content.take() {
            self.written = true;
            tokio::fs::write(&self.path, content).await?;
            self = self.on_disk().await?;
        }
        Ok(self.release().blob)
    }

    /// Waits, if that is asked for, until the disk has the file and its name.
    async fn on_disk(self) -> io::Result<Self> {
        if !self.synced || !self.written {
            return Ok(self);
        }
        blocking(move || {
            fs::File::open(&self.path)?.sync_all()?;
            if let Some(folder) = self.path.parent() {
                fs::File::open(folder)?.sync_all()?;
            }
            Ok(self)
        })
        .await
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.written
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "could not remove an unfinished object: {error}");
        }
    }
}

/// Why content could not be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiveError {
    #[error("the body ended early: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    File(#[from] io::Error),
}

impl Blobs {
    pub(super) fn new(folder: PathBuf, ids: Ids, small_bytes: usize, synced: bool) -> Self {
        if let Err(error) = fs::create_dir_all(&folder) {
            let folder = folder.display();
            tracing::error!(%error, "cannot make the folder {folder} for objects: {error}");
        }
        Self {
            folder,
            small_bytes,
            ids,
            synced,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn draft(&self) -> Draft {
        let name = self.ids.uuid().to_string();
        Draft {
            path: self.path(&name),
            name,
            written: false,
            content: None,
            synced: self.synced,
        }
    }

    /// Takes what comes, into a new file if need be.
    pub(super) async fn receive<B>(
        &self,
        mut body: B,
        mut hasher: Hasher,
    ) -> Result<Received, ReceiveError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut draft = self.draft();
        let mut md5 = Md5::new();
        let mut size_bytes = 0;
        let mut file = None;
        let mut buffer = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| ReceiveError::Body(e.into()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            md5.update(&data);
            hasher.update(&data);
            size_bytes += data.len() as u64;
            buffer.extend_from_slice(&data);
            if buffer.len() >= BUFFER_BYTES {
                if file.is_none() {
                    file = Some(File::create_new(&draft.path).await?);
                    draft.written = true;
                }
                if let Some(file) = &mut file {
                    file.write_all(&buffer).await?;
                }
                buffer.clear();
            }
        }
        match file {
            Some(mut file) => {
                file.write_all(&buffer).await?;
                // The last write goes on in the background until it is waited for.
                file.flush().await?;
            }
            None if buffer.is_empty() => {}
            None if buffer.len() <= self.small_bytes => {
                buffer.shrink_to_fit();
                draft.content = Some(buffer);
            }
            None => {
                draft.written = true;
                tokio::fs::write(&draft.path, buffer).await?;
            }
        }
        let draft = draft.on_disk().await?;
        Ok(Received {
            draft,
            size_bytes,
            md5: md5.finalize().into(),
            hasher,
        })
    }

    /// Content of a blob from `start` on, `length` bytes. Not found: it was removed meanwhile.
    pub(super) async fn read(&self, name: &str, start: u64, length: u64) -> io::Result<s3s::Body> {
        let mut file = File::open(self.path(name)).await?;
        if start > 0 {
            file.seek(io::SeekFrom::Start(start)).await?;
        }
        Ok(s3s::Body::http_body(FileBody {
            file,
            left: length,
            buffer: BytesMut::new(),
        }))
    }

    /// A new blob with the same content.
    pub(super) async fn copy(&self, name: &str) -> io::Result<Draft> {
        let mut draft = self.draft();
        let source = self.path(name);
        let draft = blocking(move || {
            // Blobs never change, so that two names may share one file.
            if fs::hard_link(&source, &draft.path).is_err() {
                // The copy may break off and leave a piece.
                let mut source = fs::File::open(&source)?;
                let mut file = fs::File::create_new(&draft.path)?;
                draft.written = true;
                io::copy(&mut source, &mut file)?;
            }
            draft.written = true;
            Ok(draft)
        });
        draft.await?.on_disk().await
    }

    /// A new blob of `names`, one after the other.
    pub(super) async fn join(
        &self,
        names: Vec<String>,
        mut hasher: Hasher,
    ) -> io::Result<(Draft, Hasher)> {
        let mut draft = self.draft();
        let sources: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let joined = blocking(move || {
            if sources.is_empty() {
                return Ok((draft, hasher));
            }
            let mut file = fs::File::create_new(&draft.path)?;
            draft.written = true;
            let mut buffer = vec![0; BUFFER_BYTES];
            for source in sources {
                let mut source = fs::File::open(source)?;
                loop {
                    let read = source.read(&mut buffer)?;
                    let Some(data) = buffer.get(..read).filter(|data| !data.is_empty()) else {
                        break;
                    };
                    hasher.update(data);
                    file.write_all(data)?;
                }
            }
            Ok((draft, hasher))
        });
        let (draft, hasher) = joined.await?;
        Ok((draft.on_disk().await?, hasher))
    }

    /// Removes blobs that no row names any longer. What cannot be removed is left to the next sweep.
    pub(super) async fn remove(&self, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let removed = blocking(move || {
            let results: Vec<io::Result<()>> = paths.iter().map(fs::remove_file).collect();
            results.into_iter().collect::<io::Result<()>>()
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "could not remove the content of an object: {error}");
        }
    }

    /// Removes every file but those named.
    pub(super) async fn sweep(&self, named: HashSet<String>) -> io::Result<()> {
        let folder = self.folder.clone();
        blocking(move || sweep(&folder, &named)).await
    }
}

fn sweep(folder: &Path, named: &HashSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| named.contains(name));
        if !is_named && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// A part of a file as a body.
struct FileBody {
    file: File,
    left: u64,
    buffer: BytesMut,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(this.left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
        this.buffer.resize(wanted, 0);
        let mut buffer = ReadBuf::new(&mut this.buffer);
        ready!(Pin::new(&mut this.file).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        this.left -= read as u64;
        let data = this.buffer.split_to(read).freeze();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
