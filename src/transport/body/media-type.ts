// What a Content-Type header says of the characters of a body.

/** The charset that is named; null: none is. */
function charsetOf(contentType: string): string | null {
  return /;\s*charset\s*=\s*"?([^\s";]*)/i.exec(contentType)?.[1] ?? null;
}

/** Whether the body is UTF-8: no charset is named, or UTF-8 in one of its spellings (WHATWG Encoding, 4.2). */
export function isUtf8(contentType: string): boolean {
  const charset = charsetOf(contentType);
  if (charset === null) return true;
  try {
    return new TextDecoder(charset).encoding === 'utf-8';
  } catch {
    return false;
  }
}

/** The same media type without a charset, where that is UTF-8. */
export function withoutUtf8(contentType: string): string {
  if (charsetOf(contentType) === null || !isUtf8(contentType)) return contentType;
  return contentType.replace(/\s*;\s*charset\s*=\s*("[^"]*"|[^\s;]*)/i, '').trim();
}
