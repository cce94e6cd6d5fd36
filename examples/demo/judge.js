'use strict';

// Whose fault a failed request is. Three verdicts:
//
// avoidable  The server's close had reached the client before the request was made.
// crossed    The server closed after that: the request and the close passed each other, nobody could know.
// other      No close of the server explains it.

const { loopbackMargin } = require('./settings');

/** By the server's log. @returns {Map<object, string>} failed record to verdict */
function judgeByServer(records, { connections, arrivals }) {
  const arrivalById = new Map(arrivals.map((arrival) => [arrival.id, arrival]));

  /** Ports come round again: the latest connection of that port which was open before the failure. */
  const connectionOf = (port, before) =>
    connections.findLast((connection) => connection.port === port && connection.openedAt <= before);

  return judge(records, (record) => {
    // What arrived tells the connection better than the client can.
    const port = arrivalById.get(record.id)?.port ?? record.port;
    const connection = connectionOf(port, record.doneAt);
    if (connection?.closedBy !== 'server') return 'other';
    return connection.closedAt + loopbackMargin <= record.madeAt ? 'avoidable' : 'crossed';
  });
}

const CODES_OF_A_CLOSE = new Set(['ECONNABORTED', 'ECONNRESET', 'EPIPE']);

/** By what a client can know. @returns {Map<object, string>} failed record to verdict */
function judgeByClient(records) {
  return judge(records, (record) => {
    if (!record.reused || !CODES_OF_A_CLOSE.has(record.code)) return 'other';
    if (record.known === 'closed') return 'avoidable';
    if (record.known === 'open') return 'crossed';
    // Without the kernel's view: a close at some time of the stall is far likelier than one in the fraction of
    // a millisecond after it.
    return record.afterStall ? 'avoidable' : 'crossed';
  });
}

function judge(records, verdictOf) {
  const failed = records.filter((record) => record.code !== undefined);
  return new Map(failed.map((record) => [record, record.wrong ? 'other' : verdictOf(record)]));
}

module.exports = { judgeByClient, judgeByServer };
