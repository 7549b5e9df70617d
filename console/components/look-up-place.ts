// Where a text that was typed or pasted leads. An id says by itself what it names.
import { link } from '../router.ts';

const ID = /^(?<kind>delivery|webhook|event)_[0-9a-hjkmnp-tv-z]{26}$/;

/** Null: nothing was typed. What is no id is a part of a webhook's URL, description or id. */
export function placeOf(typed: string): string | null {
  const text = typed.trim();
  switch (ID.exec(text)?.groups?.['kind']) {
    case 'delivery':
      return `/deliveries/${text}`;
    case 'webhook':
      return `/webhooks/${text}`;
    case 'event':
      return link('/deliveries', { event_id: text });
    default:
      return text === '' ? null : link('/webhooks', { q: text });
  }
}
