package main

// openNonblock: files there do not wait to be opened.
const openNonblock = 0
