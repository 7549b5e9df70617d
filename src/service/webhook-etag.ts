// Changes that are made only while a webhook is as its reader knows it.
import { ServiceError } from '../domain/errors.ts';
import type { WebhookView } from './webhook-view.ts';

/** The webhook has changed since the caller read it. */
export class WebhookChanged extends ServiceError {
  readonly current: WebhookView;

  constructor(current: WebhookView) {
    super('etag_mismatch', 'The webhook was changed meanwhile. Apply your change to it as it is now.');
    this.current = current;
  }
}

/** Throws `etag_mismatch`. An empty etag is none, and fits every state. */
export function checkEtag(current: WebhookView, etag: string): void {
  if (etag !== '' && etag !== current.etag) throw new WebhookChanged(current);
}
