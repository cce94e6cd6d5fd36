//! Large writes: a copy of what JavaScript has, or its own buffer.

use super::loans::Lent;
use super::submission::Payload;
use crate::block::Block;
use crate::connect::Piece;

/// The bytes of a large write.
#[derive(Debug)]
pub enum Blob {
    Copied(Block),
    Lent(Lent),
}

impl Blob {
    /// What there is from the byte `from` on.
    pub fn piece(&self, from: usize) -> Piece<'_> {
        match self {
            Self::Copied(block) => Piece::Bytes(&block[from..]),
            Self::Lent(lent) => Piece::Lent(lent, from),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Copied(block) => block.len(),
            Self::Lent(lent) => lent.len(),
        }
    }
}

impl Payload<'_, Blob> {
    pub fn piece(&self) -> Piece<'_> {
        match self {
            Self::Inline(bytes) => Piece::Bytes(bytes),
            Self::Blob(blob) => blob.piece(0),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Blob(blob) => blob.len(),
        }
    }
}
