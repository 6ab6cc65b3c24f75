//! Chromium without a window: what a page looks like to a person.

use std::path::Path;
use std::process::Output;

use super::process::tool;

/// What a browser makes of a page.
pub struct Browser {
    profile: tempfile::TempDir,
}

impl Browser {
    /// With a profile of its own.
    pub fn new() -> Self {
        Self { profile: tempfile::tempdir().unwrap() }
    }

    /// The document after loading, and what the browser complained about.
    pub fn document(&self, url: &str) -> (String, String) {
        let output = self.run(&["--enable-logging=stderr", "--dump-dom", url]);
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().filter(|line| line.contains("CONSOLE"));
        (String::from_utf8(output.stdout).unwrap(), said.collect::<Vec<_>>().join("\n"))
    }

    /// A picture of it, so many pixels wide, in the dark or not.
    pub fn picture(&self, url: &str, width: u32, dark: bool, to: &Path) {
        let size = format!("--window-size={width},1200");
        let to = format!("--screenshot={}", to.display());
        let scheme = if dark { 0 } else { 1 };
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        self.run(&["--hide-scrollbars", &size, &scheme, &to, url]);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = tool("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", self.profile.path().display()))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    }
}
