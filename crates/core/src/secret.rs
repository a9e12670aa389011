//! A value that must not be shown. It has no `Debug`, `Display` or `Serialize` (promise 9): code that would print one does not compile.

use zeroize::Zeroizing;

/// A password, a token or a key, wiped when dropped.
///
/// ```
/// let secret = lockgate_core::Secret::new("hunter2".to_owned());
/// println!("{}", secret.expose().len());
/// ```
/// ```compile_fail
/// let secret = lockgate_core::Secret::new("hunter2".to_owned());
/// println!("{secret:?}");
/// ```
/// ```compile_fail
/// let secret = lockgate_core::Secret::new("hunter2".to_owned());
/// println!("{secret}");
/// ```
/// It is not serialised either: this crate knows no serialiser, and who does cannot implement one for it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the value.
    pub fn new(value: String) -> Self {
        Secret(Zeroizing::new(value))
    }

    /// The value itself. Every caller is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
