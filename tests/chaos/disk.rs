//! A disk of its own for the database, small enough to be filled.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system in memory with a limit. Unmounted on drop.
pub(crate) struct Disk {
    folder: TempDir,
}

impl Disk {
    /// `None` when this user may not mount anything.
    pub(crate) fn mount(megabytes: u64) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("orderhook-disk-").tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={megabytes}m,mode=755"))
            .arg("orderhook-chaos")
            .arg(folder.path())
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes what is left of it.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let block = vec![1; 1 << 20];
        // Until there is no room any more; then byte by byte is not worth it: PostgreSQL needs whole blocks.
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..4096]).is_ok() {}
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that was killed may hold a file a moment longer.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}
