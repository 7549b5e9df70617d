// A choice of one among few, as links: each choice is an address of its own.
interface Segment {
  readonly href: string;
  readonly label: string;
  readonly current: boolean;
}

export function Segments({ label, items }: { label: string; items: readonly Segment[] }) {
  return (
    <nav class="segments" aria-label={label}>
      {items.map((item) => (
        <a key={item.href} href={item.href} aria-current={item.current ? 'true' : undefined}>
          {item.label}
        </a>
      ))}
    </nav>
  );
}
