//! The Merkle tree hash of RFC 6962 section 2.1 over a growing list, in memory of the tree's height.
//!
//! Only appending and the root are needed: verification reads the whole list, so there are no inclusion proofs here.

use crate::wire::Digest;

/// The tree over the leaves added so far.
#[derive(Debug, Clone, Default)]
pub struct MerkleTree {
    size: u64,
    /// Roots of the full subtrees, largest first: one for each bit that is set in `size`.
    peaks: Vec<Digest>,
}

impl MerkleTree {
    /// An empty tree.
    pub fn new() -> Self {
        MerkleTree::default()
    }

    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut node = Digest::of_parts(&[&[0], leaf]);
        let mut full = self.size;
        while full & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            node = Digest::of_parts(&[&[1], &left.0, &node.0]);
            full >>= 1;
        }
        self.peaks.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The root. An empty tree's is the hash of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Digest::of(&[]),
            Some(smallest) => peaks.fold(*smallest, |right, left| Digest::of_parts(&[&[1], &left.0, &right.0])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, as the RFC states it.
    fn reference(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [] => Digest::of(&[]),
            [one] => Digest::of_parts(&[&[0], one]),
            many => {
                let split = (1..many.len()).filter(|k| k.is_power_of_two()).max().unwrap();
                Digest::of_parts(&[&[1], &reference(&many[..split]).0, &reference(&many[split..]).0])
            }
        }
    }

    #[test]
    fn agrees_with_the_definition_at_every_size() {
        let leaves: Vec<Vec<u8>> = (0..130_u8).map(|n| vec![n; usize::from(n % 7)]).collect();
        let mut tree = MerkleTree::new();
        assert_eq!(tree.root(), reference(&[]));
        for (at, leaf) in leaves.iter().enumerate() {
            tree.push(leaf);
            assert_eq!(tree.root(), reference(&leaves[..=at]), "size {}", at + 1);
        }
    }

    #[test]
    fn agrees_with_the_published_vectors() {
        // Certificate Transparency's reference inputs.
        let mut tree = MerkleTree::new();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(tree.root().to_string(), empty);
        tree.push(b"");
        assert_eq!(tree.root().to_string(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        tree.push(&[0]);
        assert_eq!(tree.root().to_string(), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }
}
