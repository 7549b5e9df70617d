// What went over the connection of an attempt, as its owner may see it later.
import type { Transcript } from '../domain/delivery.ts';
import { isPublicAddress } from '../security/egress-policy.ts';
import { shownRequestHeaders, shownResponseHeaders } from '../security/shown-headers.ts';
import type { Message } from './connection.ts';
import type { Dialled } from './dial.ts';

const END_OF_HEAD = '\r\n\r\n';

export interface Sent {
  readonly to: Dialled;
  /** What was given to the connection; null: there was none. */
  readonly message: Message | null;
  /** The whole head of the response; null: it did not come. */
  readonly responseHead: string | null;
  /** What was dialled last; null: nothing was, or an address that webhooks may not reach. */
  readonly address: string | null;
  readonly tlsVersion: string | null;
}

/** The address is kept where it is a public one, or stands in the URL: an owner does not learn by it how our own networks are laid out. */
export function transcriptOf({ to, message, responseHead, address, tlsVersion }: Sent): Transcript {
  const isShown = address !== null && (address === to.host || isPublicAddress(address));
  return {
    requestHeaders: message === null ? null : shownRequestHeaders(headOf(message)),
    responseHeaders: responseHead === null ? null : shownResponseHeaders(responseHead),
    remoteAddress: isShown ? address : null,
    tlsVersion,
  };
}

function headOf([first]: Message): string {
  if (first === undefined) return '';
  const end = first.indexOf(END_OF_HEAD);
  return first.toString('latin1', 0, end < 0 ? first.length : end);
}
