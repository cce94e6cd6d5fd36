'use strict';

// With the end of a response Node stops listening for 'drain' of the socket. A request that is still being written
// then, and waits because its socket was full, would wait for ever.

/** Tells the request, if nobody else does, that its socket has room again. */
function tellDrained(request) {
  if (!request?.res?.complete || !request.writableNeedDrain) return;
  const needDrain = Object.getOwnPropertySymbols(request).find(
    ({ description }) => description === 'kNeedDrain',
  );
  if (needDrain === undefined) return;
  request[needDrain] = false;
  request.emit('drain');
}

module.exports = { tellDrained };
