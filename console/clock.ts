// The present moment as a signal, one second apart, so that countdowns and "3 minutes ago" stay true while being read.
import { signal } from '@preact/signals';

const TICK_MS = 1000;

export const nowMs = signal(Date.now());

setInterval(() => {
  // A hidden page has no reader.
  if (!document.hidden) nowMs.value = Date.now();
}, TICK_MS);
