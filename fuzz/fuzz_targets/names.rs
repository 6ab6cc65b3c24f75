//! Names, tags, digests, references, registries, targets of the proxy: what is read is shown as it was read, what is canonical
//! stays so, and nothing that is read leads out of a folder.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use zuul_images::oci::{
    Digest, ImageReference, LayoutReference, Platform, Reference, Registry, RepositoryName, Tag,
};
use zuul_images::proxy::Target;

fuzz_target!(|text: &str| {
    if let Some(name) = exact::<RepositoryName>(text) {
        assert!(name.as_str().len() <= 255);
        let parts = |name: &RepositoryName| {
            name.as_str()
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with(['.', '_', '-']))
        };
        assert!(parts(&name));
        let canonical = name.canonical();
        assert_eq!(canonical.canonical(), canonical);
        assert_eq!(exact::<RepositoryName>(canonical.as_str()), Some(canonical));
    }
    if let Some(tag) = exact::<Tag>(text) {
        assert!(!tag.as_str().contains(['/', ':', '\0']) && !tag.as_str().starts_with('.'));
    }
    if let Some(digest) = exact::<Digest>(text) {
        assert!(digest.hex().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(digest.short().len(), 12);
    }
    exact::<Reference>(text);
    exact::<Platform>(text);
    if let Some(registry) = again::<Registry>(text) {
        // What stands for it in a path is one part, and of a name if it is one of the DNS.
        let component = registry.path_component();
        assert!(!component.contains(['/', ':', '%']), "{component}");
        if !registry.host().contains('_') && registry.host().len() < 200 {
            assert!(component.parse::<RepositoryName>().is_ok(), "{component}");
        }
    }
    if let Some(target) = again::<Target>(text) {
        assert!(target.port() > 0 && target.is_named_by_host(&target.to_string()));
        assert!(!target.host().contains(['@', '/', '[', '%']) && !target.host().ends_with('.'));
    }
    if let Some(layout) = again::<LayoutReference>(text) {
        assert!(!layout.path.as_os_str().is_empty());
    }
    if let Ok(image) = text.parse::<ImageReference>() {
        // A tag that nobody named is shown too, and then is named.
        let again = image.to_string().parse::<ImageReference>().expect("it is what was read");
        assert_eq!((&again.registry, &again.repository), (&image.registry, &image.repository));
        assert_eq!(again.reference, image.reference);
        assert_eq!(again.to_string(), image.to_string());
    }
});

/// What is read says the same text again.
fn exact<T: FromStr + Display>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    assert_eq!(value.to_string(), text);
    Some(value)
}

/// What is read is shown in a way that is read as the same.
fn again<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    let shown = value.to_string();
    let again = shown
        .parse::<T>()
        .unwrap_or_else(|error| panic!("{text:?} is shown as {shown:?}: {error:?}"));
    assert_eq!(again, value);
    assert_eq!(again.to_string(), shown);
    Some(value)
}
