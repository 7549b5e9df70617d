// What a receiver's response broke of HTTP's grammar without leaving its status in doubt.

/** The stable codes, with what each means to the receiver's owner; docs/receivers.md documents the same list with the RFC's sections. */
export const responseOddities = {
  blank_line_first: 'An empty line stood before the status line.',
  version_unknown: 'The version of HTTP is above 1.1.',
  bare_line_feed: 'A line ended with a line feed alone.',
  control_character: 'A line held a control character.',
  folded_line: 'A header was folded over two lines.',
  space_before_colon: 'A space stood before the colon of a header.',
  line_without_colon: 'A header line had no colon.',
  header_name_invalid: 'The name of a header was no token.',
  headers_too_large: 'The headers took more than 16 KiB.',
  headers_incomplete: 'The response ended, or time ran out, before its headers did.',
  length_repeated: 'The same Content-Length came more than once.',
  length_with_coding: 'Content-Length came beside Transfer-Encoding.',
  lengths_differ: 'Content-Length came with different values.',
  length_invalid: 'Content-Length was no number.',
  coding_invalid: 'Transfer-Encoding named chunked twice, or came with HTTP/1.0.',
  body_not_allowed: 'Content-Length or Transfer-Encoding announced a body where there is none.',
  chunk_malformed: 'A chunk of the body was malformed.',
  trailer_malformed: 'A line behind the chunks was no trailer, or there were too many.',
  bytes_after_end: 'More bytes came behind the end of the response.',
} as const;
export type ResponseOddity = keyof typeof responseOddities;
