//! The host's memory: read and written in this file alone.

use crate::failure::Failure;
use std::mem::MaybeUninit;
use std::slice;

/// No struct of any version of the ABI is larger.
const STRUCT_MAX: usize = 4096;

/// A struct that begins with its own size, so that library and host may be of different versions.
///
/// # Safety
/// Its layout is C's and has no padding, any bytes of its fields are a valid value, and it begins with a `usize`.
pub(crate) unsafe trait Blittable: Copy {
    /// Its size in the first version of the ABI. Members that came later are zero where the host does not know them.
    const FIRST: usize;
}

/// The bytes at `data`, at most `max`. NULL is valid with a length of 0.
///
/// # Safety
/// The host guarantees that `len` bytes at `data` can be read and do not change until the call returns.
pub(crate) unsafe fn bytes<'a>(
    name: &'static str,
    data: *const u8,
    len: usize,
    max: usize,
) -> Result<&'a [u8], Failure> {
    match len {
        0 => Ok(&[]),
        _ if len > max => Err(Failure::Length { name, len, max }),
        _ if data.is_null() => Err(Failure::Null(name)),
        // SAFETY: not NULL, of a length below `isize::MAX`, and readable by the caller's guarantee.
        _ => Ok(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// The UTF-8 at `data`.
///
/// # Safety
/// As for [`bytes`].
pub(crate) unsafe fn text<'a>(name: &'static str, data: *const u8, len: usize, max: usize) -> Result<&'a str, Failure> {
    // SAFETY: by the caller's guarantee.
    let bytes = unsafe { bytes(name, data, len, max) }?;
    std::str::from_utf8(bytes).map_err(|error| Failure::value(name, format!("is not UTF-8: {error}")))
}

/// The numbers at `data`.
///
/// # Safety
/// As for [`bytes`], of `len` numbers.
pub(crate) unsafe fn numbers<'a>(
    name: &'static str,
    data: *const u64,
    len: usize,
    max: usize,
) -> Result<&'a [u64], Failure> {
    match len {
        0 => Ok(&[]),
        _ if len > max => Err(Failure::Length { name, len, max }),
        _ if data.is_null() => Err(Failure::Null(name)),
        _ if !data.is_aligned() => Err(Failure::Alignment { name }),
        // SAFETY: not NULL, aligned, of a size below `isize::MAX`, and readable by the caller's guarantee.
        _ => Ok(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// A copy of the options at `options`. Members that the host does not know are zero; those that this library does not
/// know must be zero.
///
/// # Safety
/// The host guarantees that as many bytes can be read there as its first member says.
pub(crate) unsafe fn options<T: Blittable>(name: &'static str, options: *const T) -> Result<T, Failure> {
    // SAFETY: by the caller's guarantee.
    let size = unsafe { size_at(name, options) }?;
    let source = options.cast::<u8>();
    let known = size.min(size_of::<T>());
    // SAFETY: the host guarantees this size.
    if (known..size).any(|at| unsafe { source.add(at).read() } != 0) {
        return Err(Failure::Size { name, size, known: size_of::<T>() });
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: both have `known` bytes, and the host's bytes followed by zeros are a value, by the trait.
    unsafe {
        copy.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(source, known);
        Ok(copy.assume_init())
    }
}

/// The size that the host's struct has by its first member.
///
/// # Safety
/// As for [`options`].
unsafe fn size_at<T: Blittable>(name: &'static str, place: *const T) -> Result<usize, Failure> {
    if place.is_null() {
        return Err(Failure::Null(name));
    }
    if !place.is_aligned() {
        return Err(Failure::Alignment { name });
    }
    // SAFETY: not NULL, aligned, and a `usize` comes first, by the trait.
    let size = unsafe { place.cast::<usize>().read() };
    match (T::FIRST..=STRUCT_MAX).contains(&size) {
        true => Ok(size),
        false => Err(Failure::Size { name, size, known: size_of::<T>() }),
    }
}

/// A flag: 0 or 1.
pub(crate) fn switch(name: &'static str, number: i32) -> Result<bool, Failure> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failure::value(name, format!("is {number}; use 0 or 1"))),
    }
}

/// A place in the host's memory for one value.
#[derive(Debug)]
pub(crate) struct Out<T> {
    place: *mut T,
    /// How many of its bytes the host's version of the struct has.
    size: usize,
}

impl<T: Copy> Out<T> {
    /// # Safety
    /// The host guarantees that a `T` can be written at `place` until the call returns, and that no other code
    /// uses it meanwhile.
    pub(crate) unsafe fn new(name: &'static str, place: *mut T) -> Result<Self, Failure> {
        match () {
            () if place.is_null() => Err(Failure::Null(name)),
            () if !place.is_aligned() => Err(Failure::Alignment { name }),
            () => Ok(Self { place, size: size_of::<T>() }),
        }
    }

    pub(crate) fn set(&self, value: T) {
        let value = (&raw const value).cast::<u8>();
        // SAFETY: not NULL, and `size` bytes can be written, by the guarantee given to `new` or `sized`.
        unsafe { self.place.cast::<u8>().copy_from_nonoverlapping(value, self.size) }
    }
}

impl<T: Blittable> Out<T> {
    /// A result struct, of which as much is written as the host's version has.
    ///
    /// # Safety
    /// As for [`new`](Self::new), for as many bytes as its first member says; that member can be read.
    pub(crate) unsafe fn sized(name: &'static str, place: *mut T) -> Result<Self, Failure> {
        // SAFETY: by the caller's guarantee.
        let size = unsafe { size_at(name, place) }?.min(size_of::<T>());
        Ok(Self { place, size })
    }

    /// How many bytes are written, which the struct then states as its size.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

/// A place in the host's memory for bytes of which it does not know the length beforehand.
#[derive(Debug)]
pub(crate) struct Buffer {
    name: &'static str,
    data: *mut u8,
    capacity: usize,
    len: Out<usize>,
}

impl Buffer {
    /// # Safety
    /// The host guarantees that `capacity` bytes can be written at `data`, and a length at `len`, until the
    /// call returns, and that no other code uses them meanwhile.
    pub(crate) unsafe fn new(
        name: &'static str,
        data: *mut u8,
        capacity: usize,
        len: *mut usize,
    ) -> Result<Self, Failure> {
        // SAFETY: by the caller's guarantee.
        let len = unsafe { Out::new(name, len) }?;
        match data.is_null() && capacity > 0 {
            true => Err(Failure::Null(name)),
            false => Ok(Self { name, data, capacity, len }),
        }
    }

    /// The same, or `None` where the host does not ask for it, with NULL and 0.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    pub(crate) unsafe fn wanted(
        name: &'static str,
        data: *mut u8,
        capacity: usize,
        len: *mut usize,
    ) -> Result<Option<Self>, Failure> {
        match data.is_null() && capacity == 0 && len.is_null() {
            true => Ok(None),
            // SAFETY: by the caller's guarantee.
            false => unsafe { Self::new(name, data, capacity, len) }.map(Some),
        }
    }

    /// Fails, and writes how much is needed, where the capacity is less.
    pub(crate) fn reserve(&self, needed: usize) -> Result<(), Failure> {
        if needed <= self.capacity {
            return Ok(());
        }
        self.len.set(needed);
        Err(Failure::Buffer { name: self.name, capacity: self.capacity, needed })
    }

    /// Writes all of `bytes`, or none.
    pub(crate) fn fill(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.reserve(bytes.len())?;
        if !bytes.is_empty() {
            // SAFETY: they fit, and the host's memory does not overlap the library's.
            unsafe { self.data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
        }
        self.len.set(bytes.len());
        Ok(())
    }
}
