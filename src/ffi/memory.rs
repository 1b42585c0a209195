//! The host's memory, looked at and written to nowhere but here.

use super::failure::Failure;
use std::slice;

/// A struct that begins with its own size.
///
/// # Safety
/// Its layout is C's, any bytes that fit its fields are a value of it, and it begins with a `usize` that is
/// its size.
pub(super) unsafe trait Blittable: Copy {}

/// The bytes at `data`, of which `max` are taken at most. NULL is fine where there are none.
///
/// # Safety
/// The host says that `len` bytes at `data` can be read and do not change until the call returns.
pub(super) unsafe fn bytes<'a>(
    name: &'static str,
    data: *const u8,
    len: usize,
    max: usize,
) -> Result<&'a [u8], Failure> {
    match len {
        0 => Ok(&[]),
        _ if len > max => Err(Failure::Length { name, len, max }),
        _ if data.is_null() => Err(Failure::Null(name)),
        // SAFETY: not NULL, of a length below `isize::MAX`, and readable as the caller says.
        _ => Ok(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// The UTF-8 at `data`.
///
/// # Safety
/// As for [`bytes`].
pub(super) unsafe fn text<'a>(name: &'static str, data: *const u8, len: usize, max: usize) -> Result<&'a str, Failure> {
    // SAFETY: as the caller says.
    let bytes = unsafe { bytes(name, data, len, max) }?;
    std::str::from_utf8(bytes).map_err(|error| Failure::value(name, format!("is not UTF-8: {error}")))
}

/// The numbers at `data`.
///
/// # Safety
/// As for [`bytes`], of `len` numbers.
pub(super) unsafe fn numbers<'a>(
    name: &'static str,
    data: *const u32,
    len: usize,
    max: usize,
) -> Result<&'a [u32], Failure> {
    match len {
        0 => Ok(&[]),
        _ if len > max => Err(Failure::Length { name, len, max }),
        _ if data.is_null() => Err(Failure::Null(name)),
        _ if !data.is_aligned() => Err(Failure::Alignment { name }),
        // SAFETY: not NULL, aligned, of a size below `isize::MAX`, and readable as the caller says.
        _ => Ok(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// A copy of the options at `options`.
///
/// # Safety
/// The host says that as many bytes as the first of its members names can be read there.
pub(super) unsafe fn options<T: Blittable>(name: &'static str, options: *const T) -> Result<T, Failure> {
    // SAFETY: as the caller says.
    unsafe { check(name, options) }?;
    // SAFETY: not NULL, aligned, and all of it can be read, since the host gave it this size.
    Ok(unsafe { options.read() })
}

/// # Safety
/// As for [`options`].
unsafe fn check<T: Blittable>(name: &'static str, options: *const T) -> Result<(), Failure> {
    if options.is_null() {
        return Err(Failure::Null(name));
    }
    if !options.is_aligned() {
        return Err(Failure::Alignment { name });
    }
    // SAFETY: not NULL, aligned, and a `usize` comes first, by the trait.
    let size = unsafe { options.cast::<usize>().read() };
    match size == size_of::<T>() {
        true => Ok(()),
        false => Err(Failure::Size { name, size, known: size_of::<T>() }),
    }
}

/// A flag: 0 or 1.
pub(super) fn switch(name: &'static str, number: i32) -> Result<bool, Failure> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failure::value(name, format!("is {number}; use 0 or 1"))),
    }
}

/// A place of the host's for one value.
#[derive(Debug)]
pub(super) struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// # Safety
    /// The host says that a `T` can be written at `place` until the call returns, and that nobody else uses
    /// it meanwhile.
    pub(super) unsafe fn new(name: &'static str, place: *mut T) -> Result<Self, Failure> {
        match () {
            () if place.is_null() => Err(Failure::Null(name)),
            () if !place.is_aligned() => Err(Failure::Alignment { name }),
            () => Ok(Self(place)),
        }
    }

    pub(super) fn set(&self, value: T) {
        // SAFETY: not NULL, aligned, and writable as the host said to `new`.
        unsafe { self.0.write(value) }
    }
}

impl<T: Blittable> Out<T> {
    /// A result, whose size the host has set.
    ///
    /// # Safety
    /// As for [`new`](Self::new), and the size can be read.
    pub(super) unsafe fn sized(name: &'static str, place: *mut T) -> Result<Self, Failure> {
        // SAFETY: as the caller says.
        unsafe { check(name, place) }?;
        Ok(Self(place))
    }
}

/// A place of the host's for bytes whose number is not known before.
#[derive(Debug)]
pub(super) struct Buffer {
    name: &'static str,
    data: *mut u8,
    capacity: usize,
    len: Out<usize>,
}

impl Buffer {
    /// # Safety
    /// The host says that `capacity` bytes can be written at `data`, and a length at `len`, until the call
    /// returns, and that nobody else uses them meanwhile.
    pub(super) unsafe fn new(
        name: &'static str,
        data: *mut u8,
        capacity: usize,
        len: *mut usize,
    ) -> Result<Self, Failure> {
        // SAFETY: as the caller says.
        let len = unsafe { Out::new(name, len) }?;
        match data.is_null() && capacity > 0 {
            true => Err(Failure::Null(name)),
            false => Ok(Self { name, data, capacity, len }),
        }
    }

    /// Likewise, or `None` where the host wants none: NULL and 0.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    pub(super) unsafe fn wanted(
        name: &'static str,
        data: *mut u8,
        capacity: usize,
        len: *mut usize,
    ) -> Result<Option<Self>, Failure> {
        match data.is_null() && capacity == 0 && len.is_null() {
            true => Ok(None),
            // SAFETY: as the caller says.
            false => unsafe { Self::new(name, data, capacity, len) }.map(Some),
        }
    }

    /// Tells how much is needed, where there is less.
    pub(super) fn reserve(&self, needed: usize) -> Result<(), Failure> {
        if needed <= self.capacity {
            return Ok(());
        }
        self.len.set(needed);
        Err(Failure::Buffer { name: self.name, capacity: self.capacity, needed })
    }

    /// Writes all of `bytes`, or nothing.
    pub(super) fn fill(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.reserve(bytes.len())?;
        if !bytes.is_empty() {
            // SAFETY: they fit, and the host's memory is not ours.
            unsafe { self.data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
        }
        self.len.set(bytes.len());
        Ok(())
    }
}
