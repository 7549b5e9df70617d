// Why a delivery was cancelled, in words.

const WORDS: Readonly<Record<string, string>> = {
  webhook_disabled: 'its webhook was disabled',
  webhook_deleted: 'its webhook was deleted',
  retention: 'it was held for too long',
  held_limit: 'its webhook held too many',
  caller: 'by a call',
  expired: 'it was too late to send it',
  superseded: 'a newer event took its place',
};

/** A reason that this page does not know yet is shown as it is. */
export function cancelWords(reason: string | undefined): string {
  return reason === undefined ? 'its webhook was disabled or deleted' : (WORDS[reason] ?? reason);
}
