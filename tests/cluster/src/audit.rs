//! Reading the API server's audit log: who asked for what, and when.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// One request that the API server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The plural name, with the subresource behind a slash: `pods`, `pods/status`. Empty for `/version` and its like.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub user_agent: String,
    pub code: u16,
    /// When the request came, in RFC 3339 with microseconds.
    pub received: String,
    /// When the answer was complete.
    pub answered: String,
}

/// A place in an audit log from which requests are read on.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
    offset: u64,
}

impl AuditLog {
    /// Reads from the beginning of the log.
    pub fn from_start(path: &Path) -> Self {
        Self { path: path.to_path_buf(), offset: 0 }
    }

    /// Reads what comes after now, and a line that is being written now.
    pub fn from_now(path: &Path) -> Result<Self> {
        let offset = last_line(path).with_context(|| format!("cannot read the end of the audit log {}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), offset })
    }

    /// The requests answered since the last call. A watch appears when it ends.
    pub fn requests(&mut self) -> Result<Vec<Request>> {
        let mut file = File::open(&self.path).with_context(|| format!("cannot open the audit log {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        let mut requests = Vec::new();
        let mut line = String::new();
        // A line without its end is still being written: it is read the next time.
        while reader.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.offset += line.len() as u64;
            let entry: Entry =
                serde_json::from_str(&line).with_context(|| format!("a line of {} is not an audit event", self.path.display()))?;
            if entry.stage == "ResponseComplete" {
                requests.push(entry.into());
            }
            line.clear();
        }
        Ok(requests)
    }
}

/// Where the last line begins: after the last end of a line.
fn last_line(path: &Path) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut file = File::open(path)?;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        file.by_ref().take(end - begin).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
    request_received_timestamp: String,
    stage_timestamp: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
}

impl From<Entry> for Request {
    fn from(entry: Entry) -> Self {
        let object = entry.object_ref;
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            subresource => format!("{}/{subresource}", object.resource),
        };
        Self {
            verb: entry.verb,
            resource,
            namespace: object.namespace,
            name: object.name,
            user_agent: entry.user_agent,
            code: entry.response_status.code,
            received: entry.request_received_timestamp,
            answered: entry.stage_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> String {
        format!(
            r#"{{"stage":"ResponseComplete","verb":"patch","userAgent":"bluegreen/0.1","objectRef":{{"resource":"pods","subresource":"status","namespace":"a","name":"{name}"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"t0","stageTimestamp":"t1"}}"#
        )
    }

    #[test]
    fn reading_from_now_begins_with_a_whole_line() {
        let path = std::env::temp_dir().join(format!("bluegreen-audit-now-{}.log", std::process::id()));
        let long = line(&"x".repeat(10_000));
        for (there, expected) in [
            (String::new(), vec!["two", "three"]),
            (line("two")[..40].to_owned(), vec!["two", "three"]),
            (format!("{long}\n"), vec!["two", "three"]),
            (format!("{long}\n{}", &line("two")[..40]), vec!["two", "three"]),
            (format!("{long}\n{}\n", line("two")), vec!["three"]),
        ] {
            std::fs::write(&path, &there).unwrap();
            let mut log = AuditLog::from_now(&path).unwrap();
            let before = if there.len() > 10_000 { format!("{long}\n") } else { String::new() };
            std::fs::write(&path, format!("{before}{}\n{}\n", line("two"), line("three"))).unwrap();
            let names: Vec<_> = log.requests().unwrap().into_iter().map(|request| request.name).collect();
            assert_eq!(names, expected, "after {} bytes", there.len());
        }
        // A line that is longer than a block, and not whole yet.
        std::fs::write(&path, format!("{}\n{}", line("one"), &long[..9_000])).unwrap();
        let mut log = AuditLog::from_now(&path).unwrap();
        std::fs::write(&path, format!("{}\n{long}\n", line("one"))).unwrap();
        assert_eq!(log.requests().unwrap().len(), 1);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_line_that_is_still_being_written_is_read_the_next_time() {
        let path = std::env::temp_dir().join(format!("bluegreen-audit-{}.log", std::process::id()));
        std::fs::write(&path, format!("{}\n{}", line("one"), &line("two")[..40])).unwrap();
        let mut log = AuditLog::from_start(&path);
        let first = log.requests().unwrap();
        std::fs::write(&path, format!("{}\n{}\n", line("one"), line("two"))).unwrap();
        let second = log.requests().unwrap();
        std::fs::remove_file(&path).unwrap();

        assert_eq!(first.len(), 1);
        assert_eq!((first[0].resource.as_str(), first[0].name.as_str(), first[0].code), ("pods/status", "one", 200));
        assert_eq!(second.iter().map(|request| request.name.as_str()).collect::<Vec<_>>(), ["two"]);
    }
}
