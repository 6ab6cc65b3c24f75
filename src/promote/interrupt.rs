use tokio::sync::watch;

/// Tells a promotion to break off.
#[derive(Debug, Clone)]
pub struct Interrupt(Option<watch::Receiver<()>>);

/// Where an [`Interrupt`] comes from.
#[derive(Debug)]
pub struct Interrupter(watch::Sender<()>);

impl Interrupt {
    /// Nothing ever breaks it off.
    #[must_use]
    pub fn never() -> Self {
        Self(None)
    }

    /// Told by the other half: before the first write nothing is written then; while tags are written
    /// these are put back; when it is told again meanwhile, all is left as it is.
    #[must_use]
    pub fn new() -> (Interrupter, Self) {
        let (sender, receiver) = watch::channel(());
        (Interrupter(sender), Self(Some(receiver)))
    }

    /// Resolves when it is told once more.
    pub(super) async fn next(&mut self) {
        if let Some(told) = &mut self.0
            && told.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

impl Interrupter {
    /// Tells it.
    pub fn interrupt(&self) {
        self.0.send_replace(());
    }
}
