//! Plain tar files.

use anyhow::{Result, bail, ensure};

/// A writer of plain tar files: names up to 99 bytes, no directories, the same bytes for the same content.
#[derive(Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub fn append(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        ensure!(name.len() < 100, "{name} is too long a name for a file in a tar");
        if content.len() >= 1 << 33 {
            bail!("{name} is too large for a tar: {} bytes", content.len());
        }
        let mut header = [0u8; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000000");
        // The checksum is taken with spaces in its place.
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\0");
        put(263, "00");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        Ok(())
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn tar_reads_what_was_written() {
        let mut tar = Tar::default();
        tar.append("one", 0o755, b"first").unwrap();
        tar.append("two", 0o644, &[b'x'; 600]).unwrap();
        let path = std::env::temp_dir().join(format!("bluegreen-tar-{}.tar", std::process::id()));
        fs::write(&path, tar.finish()).unwrap();
        let listed = std::process::Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
        fs::remove_file(&path).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("-rwxr-xr-x") && listed.contains("one") && listed.contains(" 600 "), "{listed}");
    }
}
