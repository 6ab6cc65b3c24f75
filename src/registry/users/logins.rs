use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::sync::Mutex as Turn;
use tokio::task::spawn_blocking;

use super::caller::{Account, Rights, User};
use super::comparisons::{Busy, Comparisons};
use super::htpasswd::{self, Htpasswd, Table, Watched};
use super::signer::{Seal, Signer};
use crate::registry::config::files;
use crate::registry::service::StartError;

/// How often is looked whether a file of users has changed.
const LOOK: Duration = Duration::from_secs(1);

/// Who may log in, from the configuration and from files of users.
///
/// A name that is unknown, and a name with a wrong password, cost the same work.
pub(in crate::registry) struct Logins {
    signer: Arc<Signer>,
    /// With the seals of their names and passwords.
    plain: Vec<(Arc<Account>, Seal, Seal)>,
    /// Makes the seals; of this process only.
    sealer: Arc<Signer>,
    watched: Turn<Vec<Watched>>,
    files: RwLock<Arc<Files>>,
    comparisons: Comparisons,
}

/// What somebody who gives a name and a password is.
#[derive(Debug)]
pub(in crate::registry) enum Login {
    /// A user of ours.
    Known(Arc<Account>),
    /// Nobody here, or the password is wrong.
    Unknown,
    /// Too many others are being looked at.
    Busy,
}

/// The users of all files.
#[derive(Default)]
struct Files {
    entries: HashMap<String, Entry>,
    /// The highest cost of a hash, which every wrong password pays.
    cost: u32,
}

#[derive(Clone)]
struct Entry {
    account: Arc<Account>,
    hash: String,
    /// Which file it is from.
    file: usize,
}

impl Logins {
    /// Reads the files. Blocking.
    ///
    /// # Errors
    /// A file cannot be read or holds what is not understood, or a name is there twice.
    pub(in crate::registry) fn open(
        users: &[User],
        htpasswd: &[Htpasswd],
        signer: Arc<Signer>,
    ) -> Result<Self, StartError> {
        let sealer = Arc::new(Signer::random()?);
        let mut logins = Self {
            plain: Vec::new(),
            watched: Turn::new(Vec::new()),
            files: RwLock::default(),
            comparisons: Comparisons::new(Arc::clone(&sealer)),
            sealer,
            signer,
        };
        for user in users {
            let rights = Rights::new(user.access, user.repositories.clone());
            let account = logins.make_account(&user.name, &user.password, rights);
            let seal = |text: &str| logins.sealer.seal(&[text]);
            let (name, password) = (seal(&user.name), seal(&user.password));
            logins.plain.push((account, name, password));
        }
        let mut watched: Vec<Watched> = htpasswd.iter().map(Watched::new).collect();
        let mut all = Files::default();
        for (number, file) in watched.iter_mut().enumerate() {
            let name = file.file.display().to_string();
            let config = |reason| StartError::Config { file: name.clone(), reason };
            files::warn_if_open(&file.file, "hashes of passwords");
            if let Some(table) = file.read_if_changed().map_err(config)? {
                all = logins.replaced(&all, number, &file.rights, table).map_err(config)?;
            }
        }
        logins.files = RwLock::new(Arc::new(all));
        logins.watched = Turn::new(watched);
        Ok(logins)
    }

    /// The user of this name, for tokens.
    pub(in crate::registry) fn account(&self, name: &str) -> Option<Arc<Account>> {
        let plain = self.plain.iter().map(|(account, ..)| account);
        let found = plain.into_iter().find(|account| account.name == name).cloned();
        found.or_else(|| self.files().entries.get(name).map(|entry| Arc::clone(&entry.account)))
    }

    /// Looks at a name and a password.
    pub(in crate::registry) async fn login(&self, name: &str, password: &str) -> Login {
        if let Some(account) = self.plain_login(name, password) {
            return Login::Known(account);
        }
        let files = self.files();
        if files.entries.is_empty() {
            return Login::Unknown;
        }
        let entry = files.entries.get(name);
        let hash = entry.map(|entry| entry.hash.as_str());
        let right = self.comparisons.is_right(name, password, hash, files.cost).await;
        match (right, entry) {
            (Ok(true), Some(entry)) => Login::Known(Arc::clone(&entry.account)),
            (Ok(_), _) => Login::Unknown,
            (Err(Busy), _) => Login::Busy,
        }
    }

    /// The user of the configuration with this name and password. Takes as long for a wrong one.
    fn plain_login(&self, name: &str, password: &str) -> Option<Arc<Account>> {
        let given = (self.sealer.seal(&[name]), self.sealer.seal(&[password]));
        let mut found = None;
        for (account, name, password) in &self.plain {
            if bool::from(given.0.ct_eq(name) & given.1.ct_eq(password)) {
                found = Some(Arc::clone(account));
            }
        }
        found
    }

    /// Reads files that change, for as long as it is polled. One that cannot be used is named in the
    /// log, and its users stay as they were.
    pub(in crate::registry) async fn watch(self: Arc<Self>) -> Infallible {
        if self.watched.lock().await.is_empty() {
            std::future::pending::<()>().await;
        }
        let mut complained = HashMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let logins = Arc::clone(&self);
            let looked = spawn_blocking(move || logins.look()).await.unwrap_or_default();
            for (file, problem) in looked {
                if complained.get(&file) == Some(&problem) {
                    continue;
                }
                match &problem {
                    Some(reason) => tracing::error!(
                        file,
                        reason,
                        "the changed file of users is not used, those it had may still log in"
                    ),
                    None => tracing::info!(file, "the file of users was read again"),
                }
                complained.insert(file, problem);
            }
        }
    }

    /// The files that were read again, each with what is wrong with it. Blocking.
    fn look(&self) -> Vec<(String, Option<String>)> {
        let mut looked = Vec::new();
        for (number, file) in self.watched.blocking_lock().iter_mut().enumerate() {
            let name = file.file.display().to_string();
            let table = match file.read_if_changed() {
                Ok(None) => continue,
                Ok(Some(table)) => table,
                Err(reason) => {
                    looked.push((name, Some(reason)));
                    continue;
                }
            };
            let before = self.files();
            match self.replaced(&before, number, &file.rights, table) {
                Err(reason) => looked.push((name, Some(reason))),
                Ok(after) if before.same(&after) => {}
                Ok(after) => {
                    *self.files.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
                    looked.push((name, None));
                }
            }
        }
        looked
    }

    /// All files' users with those of one file in place of what it had.
    fn replaced(
        &self,
        before: &Files,
        number: usize,
        rights: &Rights,
        table: Table,
    ) -> Result<Files, String> {
        let others = before.entries.iter().filter(|(_, entry)| entry.file != number);
        let mut entries: HashMap<String, Entry> =
            others.map(|(name, entry)| (name.clone(), entry.clone())).collect();
        for (name, hash) in table.hashes {
            let configured = self.plain.iter().any(|(account, ..)| account.name == name);
            if configured || entries.contains_key(&name) {
                return Err(format!("user {name:?} is also in the configuration or another file"));
            }
            let account = self.make_account(&name, &hash, rights.clone());
            entries.insert(name, Entry { account, hash, file: number });
        }
        let cost = entries.values().map(|entry| htpasswd::cost(&entry.hash)).max();
        Ok(Files { entries, cost: cost.unwrap_or_default() })
    }

    fn make_account(&self, name: &str, credential: &str, rights: Rights) -> Arc<Account> {
        let mark = self.signer.mark(name, credential);
        Arc::new(Account { name: name.to_owned(), rights, mark })
    }

    fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Files {
    fn same(&self, other: &Self) -> bool {
        let same = |(name, entry): (&String, &Entry)| {
            other.entries.get(name).is_some_and(|known| known.hash == entry.hash)
        };
        self.entries.len() == other.entries.len() && self.entries.iter().all(same)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::auth::Action;
    use crate::registry::users::caller::Level;

    fn line(name: &str, password: &str, cost: u32) -> String {
        format!("{name}:{}\n", bcrypt::hash(password, cost).unwrap())
    }

    fn user(name: &str, password: &str) -> User {
        let (name, password) = (name.to_owned(), password.to_owned());
        User { name, password, access: Level::Write, repositories: None }
    }

    fn file(folder: &TempDir, name: &str, access: Level, text: &str) -> Htpasswd {
        let file: PathBuf = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Htpasswd { file, access, repositories: None }
    }

    fn open(users: &[User], files: &[Htpasswd]) -> Result<Logins, StartError> {
        Logins::open(users, files, Arc::new(Signer::new([7; 32])))
    }

    async fn known(logins: &Logins, name: &str, password: &str) -> bool {
        matches!(logins.login(name, password).await, Login::Known(account) if account.name == name)
    }

    #[test]
    fn a_name_in_two_places_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let one = file(&folder, "one", Level::Read, &line("a", "p", 4));
        let two = file(&folder, "two", Level::Write, &line("a", "p", 4));
        for (users, files) in [(vec![user("a", "p")], vec![one.clone()]), (vec![], vec![one, two])]
        {
            let error = open(&users, &files).map(drop).unwrap_err().to_string();
            assert!(error.contains("user \"a\" is also in"), "{error}");
        }
    }

    #[tokio::test]
    async fn only_the_right_password_lets_in() {
        let folder = tempfile::tempdir().unwrap();
        let text = line("reader", "right", 4) + &line("slow", "right", 5);
        let files = [file(&folder, "f", Level::Read, &text)];
        let logins = open(&[user("zuul", "plain")], &files).unwrap();
        for (name, password) in [
            ("reader", "wrong"),
            ("reader", ""),
            ("slow", "wrong"),
            ("nobody", "right"),
            ("", ""),
            ("zuul", "right"),
            ("reader", "plain"),
        ] {
            let login = logins.login(name, password).await;
            assert!(matches!(login, Login::Unknown), "{name} {login:?}");
        }
        for (name, password) in [("reader", "right"), ("slow", "right"), ("zuul", "plain")] {
            assert!(known(&logins, name, password).await, "{name}");
        }
        let rights = logins.account("reader").unwrap().rights.clone();
        assert!(!rights.may(Action::Push, &"a".parse().unwrap()));
    }

    #[tokio::test]
    async fn too_many_at_once_are_sent_away_but_not_the_proven() {
        let folder = tempfile::tempdir().unwrap();
        let text = line("proven", "right", 4) + &line("new", "right", 4);
        let files = [file(&folder, "f", Level::Read, &text)];
        let logins = open(&[user("zuul", "plain")], &files).unwrap();
        assert!(known(&logins, "proven", "right").await);
        let places = logins.comparisons.take_every_place();
        for (name, password) in [("proven", "wrong"), ("new", "right"), ("nobody", "x")] {
            assert!(matches!(logins.login(name, password).await, Login::Busy), "{name}");
        }
        assert!(known(&logins, "proven", "right").await);
        assert!(known(&logins, "zuul", "plain").await);
        drop(places);
        assert!(known(&logins, "new", "right").await);
    }

    #[tokio::test]
    async fn a_changed_file_counts_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = [file(&folder, "f", Level::Read, &(line("a", "old", 4) + &line("b", "b", 4)))];
        let logins = Arc::new(open(&[user("zuul", "plain")], &files).unwrap());
        assert!(known(&logins, "a", "old").await);
        let mark = logins.account("a").unwrap().mark.clone();
        let look = |text: String| {
            std::fs::write(&files[0].file, text).unwrap();
            let logins = Arc::clone(&logins);
            async move { spawn_blocking(move || logins.look()).await.unwrap() }
        };
        for (broken, said) in
            [("a\n".to_owned(), "line 1"), (line("zuul", "x", 4), "\"zuul\" is also in")]
        {
            let looked = look(broken).await;
            assert!(looked[0].1.as_ref().unwrap().contains(said), "{looked:?}");
            assert!(known(&logins, "a", "old").await);
        }
        assert_eq!(look(line("a", "new", 4)).await[0].1, None);
        assert!(!known(&logins, "a", "old").await);
        assert!(known(&logins, "a", "new").await);
        assert_ne!(logins.account("a").unwrap().mark, mark);
        assert!(logins.account("b").is_none());
        assert!(logins.account("zuul").is_some());
    }
}
