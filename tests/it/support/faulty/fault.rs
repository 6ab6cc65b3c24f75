use std::time::Duration;

use bytes::Bytes;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answered with this status, these headers and this body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Answered with this status before any body is taken.
    Hasty(u16),
    /// A page of a list with nothing but a text of so many bytes, and always another one behind it.
    NextPage(usize),

    /// Done, but only after so long.
    Delay(Duration),
    /// Done, but only when it is told to.
    Hold(tokio::sync::watch::Receiver<bool>),
    /// Done as if no `Range` had been asked for.
    IgnoreRange,
    /// Done as if nobody had shown who he is.
    Anonymous,
    /// The connection ends before anything is done, after so many bytes of the request's body.
    CutRequest(usize),
    /// Nothing is taken any more after so many bytes of the request's body, and nothing answered.
    StallRequest(usize),

    /// Done, but never answered.
    Withhold,
    /// Done, but the connection ends without an answer.
    LoseReply,
    /// Done, but the answer's body ends after so many bytes, and with it the connection.
    CutAfter(usize),
    /// Done, but the answer's body stands still after so many bytes.
    StallAfter(usize),
    /// Done, but the answer's body waits after so many bytes until it is told to go on.
    PauseAfter(usize, tokio::sync::watch::Receiver<bool>),
    /// Done, but the answer's body comes in pieces of so many bytes, after a pause each.
    Drip(usize, Duration),
    /// Done, but what can be had is at the same path of this place.
    RedirectTo(String),
    /// Done, but the answer has this header, or lacks it.
    Header(&'static str, Option<String>),
    /// Done, but its `Location` is at this place.
    LocationAt(String),
    /// Done, but with this status.
    Status(u16),
    /// Done, but the answer's body is this.
    Body(Bytes),
    /// Done, but the answer's body comes in chunks, so that nobody knows how long it is.
    Chunked,
    /// Done as if no `Range` had been asked for, but in chunks, and as if so many bytes were all.
    Truncated(usize),
    /// Done, but the answer's body is something else in this encoding.
    Encoded(&'static str),

    /// Done, but answered in HTTP/1.0: the end of the connection is the end of the body.
    Http10,
    /// Done, but the answer says that it is so long, and the connection ends behind it.
    Length(u64),
    /// Answered with this and nothing else.
    Garbage(&'static [u8]),
    /// Done, but then the connection ends although nothing was said of that.
    HangUp,
}

impl Fault {
    /// Whether the answer is no HTTP that a server would write.
    pub(super) fn is_raw(&self) -> bool {
        matches!(self, Self::Http10 | Self::Length(_) | Self::Garbage(_) | Self::HangUp)
    }
}
