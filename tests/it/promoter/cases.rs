//! Cases with inputs and what is expected, in the language of nobody.

use std::path::Path;

use serde_json::Value;

/// One file of cases.
pub fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/promoter/cases").join(name);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Its cases, of which there are so many.
pub fn all(name: &str, count: usize) -> Vec<Value> {
    let cases = file(name)["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), count, "{name}");
    cases
}

/// What a case is called.
pub fn id(case: &Value) -> &str {
    case["id"].as_str().unwrap()
}
