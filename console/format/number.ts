// Numbers as people read them.
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

export function count(value: number): string {
  return whole.format(value);
}

/** "12.4K" where there is no room for "12,431". */
export function shortCount(value: number): string {
  return value < 10_000 ? whole.format(value) : compact.format(value);
}

/**
 * A share from 0 to 1. Never rounded up to 100 % nor down to 0 %: one failure in ten thousand is not none.
 */
export function percent(share: number): string {
  if (share === 0 || share === 1) return `${share * 100}%`;
  const value = Math.min(99.99, Math.max(0.01, share * 100));
  return `${value >= 99.9 || value < 0.1 ? value.toFixed(2) : value.toFixed(1)}%`;
}

export function plural(amount: number, one: string, many = `${one}s`): string {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}

export function byteSize(bytes: number): string {
  if (bytes < 1000) return plural(bytes, 'byte');
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(2)} MB`;
}
