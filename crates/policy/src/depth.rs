//! How deep a policy file nests, found without a parser. Cedar's parser, its validator and the walks over its trees recurse,
//! so what could nest deeply is refused before any of them sees it, and the rest is loaded with a stack made for it.

use crate::problem::Problem;
use lockgate_core::limits::{POLICY_CHAIN_MAX, POLICY_DEPTH_MAX};

/// The stack that a file within the limits is loaded with. Only the part that is touched takes memory.
pub(crate) const STACK_BYTES: usize = 256 * 1024 * 1024;

/// The first place at which `text` nests deeper than a policy may.
pub(crate) fn too_deep(path: &str, text: &str) -> Option<Problem> {
    let mut open: Vec<usize> = Vec::new();
    // Words and signs since the last comma at this level, and the same of the levels around it: no tree is higher.
    let (mut here, mut around) = (0_usize, 0_usize);
    let mut bytes = text.bytes().enumerate().peekable();
    let mut word = false;
    while let Some((at, byte)) = bytes.next() {
        let continues = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let goes_on = continues && word;
        word = continues;
        if goes_on || byte.is_ascii_whitespace() {
            continue;
        }
        match byte {
            b'/' if bytes.peek().is_some_and(|(_, next)| *next == b'/') => {
                while bytes.next_if(|(_, next)| *next != b'\n').is_some() {}
            }
            b'"' => {
                while let Some((_, inside)) = bytes.next() {
                    match inside {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
                here = here.saturating_add(1);
            }
            b'(' | b'[' | b'{' => {
                open.push(here);
                around = around.saturating_add(here).saturating_add(1);
                here = 0;
            }
            b')' | b']' | b'}' => {
                if let Some(outer) = open.pop() {
                    here = outer.saturating_add(1);
                    around = around.saturating_sub(here);
                }
            }
            b',' => here = 0,
            b';' => {
                open.clear();
                (here, around) = (0, 0);
            }
            _ => here = here.saturating_add(1),
        }
        let refuse = |message| Some(Problem::at_bytes(path, text, at, at.saturating_add(1), message));
        if open.len() > POLICY_DEPTH_MAX {
            return refuse(format!("the policy is nested deeper than {POLICY_DEPTH_MAX} brackets"));
        }
        if around.saturating_add(here) > POLICY_CHAIN_MAX {
            return refuse(format!("the policy has an expression of more than {POLICY_CHAIN_MAX} words and signs"));
        }
    }
    None
}
