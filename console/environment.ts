// What the service sends with its page when it serves it.
function meta(name: string): string {
  return document.querySelector<HTMLMetaElement>(`meta[name="homechef-${name}"]`)?.content ?? '';
}

/** Only a development service has the one-click sign-in. */
export const isDevelopment = meta('environment') === 'development';

/** The name of the plain signature header, which operators may change. */
export const signatureHeader = meta('signature-header');
