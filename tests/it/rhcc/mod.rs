//! Certification in Red Hat's catalog: what is judged, what is moved when, and what a run that was killed
//! leaves for the next.

mod catalog;
mod certify;
mod guard;
mod inputs;
mod killed;
mod moves;
mod pyxis;
mod site;
