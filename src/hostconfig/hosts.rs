//! The line-based files: `/etc/hosts` (hosts(5)) and `/etc/passwd` (passwd(5)).

use std::net::IpAddr;
use std::path::PathBuf;

use super::ALIAS;

/// `old` with exactly one line for the alias, and that one right.
///
/// A line of the same form for another address is a former registry's: it would win over ours.
pub(super) fn with_alias(old: &str, address: IpAddr) -> String {
    let ours = format!("{address}\t{ALIAS}");
    if old.lines().any(|line| line == ours) && !old.lines().any(|line| is_stale(line, &ours)) {
        return old.to_owned();
    }
    let mut new = String::with_capacity(old.len() + ours.len() + 2);
    for line in old.lines().filter(|line| *line != ours && !is_stale(line, &ours)) {
        new.push_str(line);
        new.push('\n');
    }
    new.push_str(&ours);
    new.push('\n');
    new
}

/// `now` without the lines that `written` has and `before` has not; what they replaced comes back.
pub(super) fn without_ours(before: &str, written: &str, now: &str) -> String {
    let is_ours = |line: &str| {
        written.lines().any(|other| other == line) && !before.lines().any(|other| other == line)
    };
    let mut lost: Vec<&str> =
        before.lines().filter(|line| !written.lines().any(|other| other == *line)).collect();
    lost.retain(|line| !now.lines().any(|other| other == *line));
    let mut clean = String::with_capacity(now.len());
    for line in now.split_inclusive('\n') {
        if !is_ours(line.trim_end_matches('\n')) {
            clean.push_str(line);
            continue;
        }
        for line in lost.drain(..) {
            clean.push_str(line);
            clean.push('\n');
        }
    }
    clean
}

fn is_stale(line: &str, ours: &str) -> bool {
    line != ours && line.split_once('\t').is_some_and(|(_, name)| name == ALIAS)
}

/// A login that owns auth files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: PathBuf,
}

/// The user of this name, or of this number where `name` is all digits.
pub(super) fn find_user(passwd: &str, name: &str) -> Option<User> {
    let users = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (login, _) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?, fields.next()?);
        let home = PathBuf::from(fields.nth(1)?);
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        Some((login, User { uid, gid, home }))
    });
    let number = name.parse::<u32>().ok();
    let mut fallback = None;
    for (login, user) in users {
        if login == name {
            return Some(user);
        }
        if fallback.is_none() && number == Some(user.uid) {
            fallback = Some(user);
        }
    }
    fallback
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_former_registrys_line_does_not_win() {
        let old = "127.0.0.1 localhost\n192.0.2.7\tzuul-jobs.buildset-registry\n";
        let new = with_alias(old, address("192.0.2.8"));
        assert_eq!(new, "127.0.0.1 localhost\n192.0.2.8\tzuul-jobs.buildset-registry\n");
    }

    #[test]
    fn a_file_without_a_final_newline_keeps_its_last_line() {
        let new = with_alias("127.0.0.1 localhost", address("2001:db8::5"));
        assert_eq!(new, "127.0.0.1 localhost\n2001:db8::5\tzuul-jobs.buildset-registry\n");
    }

    #[test]
    fn a_line_with_more_names_is_somebody_elses() {
        let old = "192.0.2.7\tzuul-jobs.buildset-registry other\n";
        assert!(with_alias(old, address("192.0.2.8")).starts_with(old));
    }

    #[test]
    fn the_line_is_added_once() {
        let once = with_alias("# hosts\n", address("192.0.2.8"));
        assert_eq!(with_alias(&once, address("192.0.2.8")), once);
    }

    #[test]
    fn users_are_found_by_name_before_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\n1000:x:5:5::/five:\nzuul:x:1000:1001:,,,:/home/zuul:/bin/sh\n";
        assert_eq!(find_user(passwd, "nobody"), None);
        assert_eq!(find_user(passwd, "1000").unwrap().home, PathBuf::from("/five"));
        let zuul = find_user(passwd, "zuul").unwrap();
        assert_eq!((zuul.uid, zuul.gid, zuul.home), (1000, 1001, PathBuf::from("/home/zuul")));
        assert_eq!(find_user(passwd, "0").unwrap().home, PathBuf::from("/root"));
    }
}
