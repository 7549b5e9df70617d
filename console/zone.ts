// Whether times are shown in the reader's own zone or in UTC; the choice outlives the visit.
import { signal } from '@preact/signals';

export type Zone = 'local' | 'utc';

const KEY = 'homechef.zone';

export const zone = signal<Zone>(localStorage.getItem(KEY) === 'utc' ? 'utc' : 'local');

export function chooseZone(next: Zone): void {
  zone.value = next;
  localStorage.setItem(KEY, next);
}
