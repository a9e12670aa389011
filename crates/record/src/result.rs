//! Takes recorded results apart again into rows and cells, for replay and export. Knows PostgreSQL's DataRow and CopyData
//! (PostgreSQL documentation, chapter "Message Formats"); what it does not know stays bytes. It trusts nothing: what is
//! recorded is what a target sent.

use lockgate_core::limits::PG_MASKED_ROW_BYTES_MAX;

/// One thing out of a result's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A row; `None` is NULL.
    Row(Vec<Option<Vec<u8>>>),
    /// A piece of COPY data.
    Copy(Vec<u8>),
    /// Bytes that are no frame that is known.
    Opaque(Vec<u8>),
}

/// The stream of one request's result. Frames may be split between pieces anywhere.
#[derive(Debug, Default)]
pub(crate) struct ResultStream {
    pending: Vec<u8>,
    lost: bool,
}

impl ResultStream {
    /// Takes the next piece and gives what it completes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<Item> {
        if self.lost {
            return vec![Item::Opaque(piece.to_vec())];
        }
        let mut whole = std::mem::take(&mut self.pending);
        whole.extend_from_slice(piece);
        let mut items = Vec::new();
        let mut rest = whole.as_slice();
        loop {
            match next_item(rest) {
                Next::Item(item, behind) => {
                    items.push(item);
                    rest = behind;
                }
                Next::More => {
                    self.pending = rest.to_vec();
                    return items;
                }
                Next::Lost => {
                    self.lost = true;
                    items.push(Item::Opaque(rest.to_vec()));
                    return items;
                }
            }
        }
    }

    /// What is left of a frame that never ended.
    pub(crate) fn finish(&mut self) -> Option<Item> {
        let pending = std::mem::take(&mut self.pending);
        (!pending.is_empty()).then_some(Item::Opaque(pending))
    }
}

enum Next<'b> {
    Item(Item, &'b [u8]),
    More,
    Lost,
}

fn next_item(bytes: &[u8]) -> Next<'_> {
    let Some((tag, after_tag)) = bytes.split_first() else { return Next::More };
    if !matches!(tag, b'D' | b'd') {
        return Next::Lost;
    }
    let Some((length, after_length)) = after_tag.split_first_chunk::<4>() else { return Next::More };
    // The length counts itself.
    let body = usize::try_from(u32::from_be_bytes(*length)).ok().and_then(|length| length.checked_sub(4));
    let Some(body) = body.filter(|body| *body <= PG_MASKED_ROW_BYTES_MAX) else { return Next::Lost };
    let Some((body, rest)) = after_length.split_at_checked(body) else { return Next::More };
    let item = if *tag == b'd' { Some(Item::Copy(body.to_vec())) } else { read_row(body).map(Item::Row) };
    item.map_or(Next::Lost, |item| Next::Item(item, rest))
}

fn read_row(body: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut cells = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        match i32::from_be_bytes(*length) {
            -1 => cells.push(None),
            length => {
                let (cell, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                cells.push(Some(cell.to_vec()));
                rest = behind;
            }
        }
    }
    rest.is_empty().then_some(cells)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A DataRow as a server sends it.
    pub(crate) fn data_row(cells: &[Option<&str>]) -> Vec<u8> {
        let mut body = u16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
        for cell in cells {
            match cell {
                None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(text) => {
                    body.extend_from_slice(&i32::try_from(text.len()).unwrap().to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
            }
        }
        let mut frame = vec![b'D'];
        frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        frame.extend_from_slice(&body);
        frame
    }

    #[test]
    fn rows_come_back_however_they_are_split() {
        let mut bytes = data_row(&[Some("1"), None, Some("")]);
        bytes.extend_from_slice(&data_row(&[Some("zwölf")]));
        bytes.extend_from_slice(b"d\0\0\0\x07a\tb");
        let expected = vec![
            Item::Row(vec![Some(b"1".to_vec()), None, Some(Vec::new())]),
            Item::Row(vec![Some("zwölf".as_bytes().to_vec())]),
            Item::Copy(b"a\tb".to_vec()),
        ];
        for size in 1..=bytes.len() {
            let mut stream = ResultStream::default();
            let items: Vec<Item> = bytes.chunks(size).flat_map(|piece| stream.push(piece)).collect();
            assert_eq!(items, expected, "pieces of {size}");
            assert_eq!(stream.finish(), None);
        }
    }

    #[test]
    fn what_is_no_row_stays_bytes() {
        for bad in [
            b"X\0\0\0\x04".as_slice(),
            b"D\0\0\0\x03",
            b"D\xff\xff\xff\xff",
            b"D\0\0\0\x06\0\x01",
            b"D\0\0\0\x0a\0\x01\xff\xff\xff\xfe",
            b"D\0\0\0\x07\0\0!",
        ] {
            let mut stream = ResultStream::default();
            assert_eq!(stream.push(bad), vec![Item::Opaque(bad.to_vec())], "{bad:?}");
            assert_eq!(stream.push(b"more"), vec![Item::Opaque(b"more".to_vec())]);
        }
        let mut stream = ResultStream::default();
        assert_eq!(stream.push(b"D\0\0"), vec![]);
        assert_eq!(stream.finish(), Some(Item::Opaque(b"D\0\0".to_vec())));
    }
}
