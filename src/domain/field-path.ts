// How errors name a place within a JSON document: `data.items[0].unit_price`, `data["odd key"]`.

const NAME = /^[A-Za-z_$][\w$]*$/;

/** One step further in: the index of an array, or the key of an object. */
export function fieldWithin(field: string, step: string | number): string {
  if (typeof step === 'number') return `${field}[${step}]`;
  return NAME.test(step) ? `${field}.${step}` : `${field}[${JSON.stringify(step)}]`;
}

/** The place that a JSON Pointer (RFC 6901) names within `document`, which `field` names. */
export function fieldAt(field: string, pointer: string, document: unknown): string {
  let path = field;
  let at = document;
  for (const step of stepsOf(pointer)) {
    path = fieldWithin(path, Array.isArray(at) ? Number(step) : step);
    at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[step] : undefined;
  }
  return path;
}

/** The keys that a JSON Pointer leads through. */
export function stepsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}
