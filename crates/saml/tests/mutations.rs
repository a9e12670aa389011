//! Whatever is changed in a valid response, it is refused or says the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that fails may panic")]

mod support;

use lockgate_saml::{Login, ServiceProvider, WantSigned};
use proptest::prelude::*;
use std::sync::OnceLock;
use support::*;

struct World {
    provider: ServiceProvider,
    /// Every shape, with what it says.
    shapes: Vec<(Vec<u8>, Login)>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let provider = generous(WantSigned::Either);
        let facts = Facts::default();
        let cbc = Encryption { content: "http://www.w3.org/2001/04/xmlenc#aes128-cbc", ..Encryption::default() };
        let shapes = [
            facts.assertion_signed(),
            facts.response_signed(),
            facts.both_signed(),
            facts.encrypted(&Encryption::default(), false),
            facts.encrypted(&cbc, true),
        ];
        let shapes =
            shapes.into_iter().map(|xml| (xml.clone().into_bytes(), receive(&provider, xml).unwrap())).collect();
        World { provider, shapes }
    })
}

/// Whether it was accepted.
fn refused_or_the_same(shape: usize, xml: &[u8]) -> bool {
    let (original, login) = &world().shapes[shape];
    match receive(&world().provider, xml) {
        Ok(found) => {
            assert_eq!(&found, login, "{}\nfrom {}", xml.escape_ascii(), original.escape_ascii());
            true
        }
        Err(_) => false,
    }
}

#[test]
fn single_bytes_of_every_shape() {
    for (shape, (original, _)) in world().shapes.iter().enumerate() {
        let (mut accepted, mut refused) = (0, 0);
        // The shapes whose signatures cover all there is to cover, whole; of the others every third byte.
        for at in (0..original.len()).step_by(if shape == 0 || shape == 2 { 1 } else { 3 }) {
            // One of these changes for each byte, another for the next.
            let mut xml = original.clone();
            match (at + at / 6) % 6 {
                0 => xml[at] ^= 1,
                1 => xml[at] ^= 0x20,
                2 => drop(xml.remove(at)),
                3 => xml.insert(at, b' '),
                4 => xml[at] = b'<',
                _ => xml.insert(at, original[at]),
            }
            *(if refused_or_the_same(shape, &xml) { &mut accepted } else { &mut refused }) += 1;
        }
        // White space in tags and in base64 says nothing; nearly everything else is refused.
        assert!(accepted < refused / 4, "{shape}: {accepted} accepted, {refused} refused");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_moved_doubled_and_taken(
        shape in 0_usize..5,
        from in any::<prop::sample::Index>(),
        length in 1_usize..400,
        to in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let (original, _) = &world().shapes[shape];
        let from = from.index(original.len());
        let piece = original[from..(from + length).min(original.len())].to_vec();
        let mut xml = original.clone();
        if !keep {
            xml.drain(from..from + piece.len());
        }
        let to = to.index(xml.len());
        xml.splice(to..to, piece);
        refused_or_the_same(shape, &xml);
    }

    /// Whole elements moved about: what wrapping attacks are made of.
    #[test]
    fn elements_moved_doubled_and_taken(
        shape in 0_usize..5,
        other in 0_usize..5,
        pick in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let (original, _) = &world().shapes[shape];
        let source = String::from_utf8(world().shapes[other].0.clone()).unwrap();
        let begins: Vec<usize> = source.match_indices('<').map(|(at, _)| at).filter(|at| source.as_bytes()[at + 1] != b'/').collect();
        let begin = begins[pick.index(begins.len())];
        let name: String = source[begin + 1..].chars().take_while(|c| !matches!(c, ' ' | '>' | '/')).collect();
        let close = format!("</{name}>");
        let end = source[begin..].find(&close).map_or(source.len(), |at| begin + at + close.len());
        let piece = &source[begin..end];
        let mut xml = String::from_utf8(original.clone()).unwrap();
        if !keep && shape == other {
            xml.replace_range(begin..end, "");
        }
        let places: Vec<usize> = xml.match_indices('<').map(|(at, _)| at).chain([xml.len()]).collect();
        xml.insert_str(places[to.index(places.len())], piece);
        refused_or_the_same(shape, xml.as_bytes());
    }
}
