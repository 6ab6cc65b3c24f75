//! What jobs hand over: artifacts, lists of images, origins and pointers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zuul_images::zuul::{Document, ImageList, Origin, PointerUrl, image_artifacts};

fuzz_target!(|text: &str| {
    if let Ok(artifacts) = serde_json::from_str::<Vec<serde_json::Value>>(text) {
        let _ = image_artifacts(&artifacts);
    }
    if let Ok(images) = ImageList::parse(&Document::new("images.yaml", text)) {
        for (image, tag) in images.tags() {
            // A list that was taken names only what can be pushed.
            let _ = image.reference(tag.clone());
            let _ = image.speculative_name();
        }
    }
    if let Ok(origin) = Origin::from_header(text) {
        let header = origin.to_header();
        assert!(header.is_ascii());
        assert_eq!(Origin::from_header(&header).ok(), Some(origin), "{header}");
    }
    if let Ok(url) = text.parse::<PointerUrl>() {
        assert_eq!(url.to_string().parse::<PointerUrl>().ok(), Some(url), "{text}");
    }
});
