// The payloads that webhooks with a field mask get, each computed once while its event goes out.
import { BoundedMap } from '../bounded-map.ts';
import { type FieldMask, maskedPayload } from '../domain/field-mask.ts';

/** Payloads that are remembered: the deliveries of one event mostly go out together, and some events at a time. */
const MAX_PAYLOADS = 32;
/** Masks of one payload that are remembered: the webhooks of one event seldom have more different ones. */
const MAX_MASKS = 16;

export class MaskedPayloads {
  readonly #payloads = new BoundedMap<string, BoundedMap<string, string>>(MAX_PAYLOADS);

  /** @param data the canonical text of the whole payload */
  of(mask: FieldMask, data: string): string {
    let masked = this.#payloads.get(data);
    if (masked === undefined) this.#payloads.set(data, (masked = new BoundedMap(MAX_MASKS)));
    let text = masked.get(mask.id);
    if (text === undefined) masked.set(mask.id, (text = maskedPayload(mask, data)));
    return text;
  }
}
