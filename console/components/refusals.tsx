// What of several acts was refused, each reason once.
export function Refusals({ refusals }: { refusals: ReadonlyMap<string, number> }) {
  return (
    <>
      {[...refusals].map(([message, times]) => (
        <span key={message}>
          {times} refused: {message}{' '}
        </span>
      ))}
    </>
  );
}
