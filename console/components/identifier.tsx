// An id: the part that differs, the whole of it on hover and for copying.
const TAIL_CHARACTERS = 8;

export function Identifier({ id, href }: { id: string; href?: string }) {
  const tail = id.slice(-TAIL_CHARACTERS);
  const kind = id.slice(0, id.indexOf('_') + 1);
  const text = (
    <>
      <span class="id-kind">{kind}…</span>
      {tail}
    </>
  );
  return href === undefined ? (
    <code class="id" title={id}>
      {text}
    </code>
  ) : (
    <a class="id" href={href} title={id}>
      {text}
    </a>
  );
}
