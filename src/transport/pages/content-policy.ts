// What a page of this service may load and do: scripts, styles and calls of this origin and nothing else.

/** @param styles further sources of styles. @param more further directives */
export function contentPolicy(styles: readonly string[] = [], more: readonly string[] = []): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    ["style-src 'self'", ...styles].join(' '),
    "img-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    ...more,
  ].join('; ');
}
