import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The work that every Java peer does on a record: a Binance bookTicker in, an order out. */
final class Quotes {
    static final byte[] KEY = "BTCUSDT".getBytes(StandardCharsets.US_ASCII);
    static final List<Header> HEADERS =
            List.of(header("tenant"), header("strategy"), header("module"), header("input"));

    /** Every order's length, as long as one of Pinion's. */
    private static final int ORDER_BYTES = 262;

    private static final int DECIMALS = 9;
    private static final JsonFactory JSON = new JsonFactory();

    private Quotes() {}

    private static Header header(String name) {
        return new RecordHeader("pinion-" + name, "a value of the usual length".getBytes(StandardCharsets.US_ASCII));
    }

    /** A best bid and ask; prices and sizes are exact integers at 1e-9. */
    record Quote(long updateId, long bidPrice, long bidSize, long askPrice, long askSize) {}

    /** What a record asks for. */
    static byte[] order(long offset, byte[] record) {
        return decide(offset, parse(record));
    }

    /** The user's code: buys at the ask on an even update, sells at the bid on an odd one. */
    private static byte[] decide(long offset, Quote quote) {
        boolean buys = quote.updateId % 2 == 0;
        return encode(offset, buys ? "buy" : "sell", buys ? quote.askPrice : quote.bidPrice);
    }

    private static Quote parse(byte[] record) {
        long updateId = 0, bidPrice = 0, bidSize = 0, askPrice = 0, askSize = 0;
        int seen = 0;
        try (JsonParser json = JSON.createParser(record)) {
            int depth = 0;
            for (JsonToken token = json.nextToken(); token != null; token = json.nextToken()) {
                if (token.isStructStart()) {
                    depth++;
                } else if (token.isStructEnd()) {
                    depth--;
                } else if (token.isScalarValue() && depth == 2) {
                    seen++;
                    switch (json.currentName()) {
                        case "u" -> updateId = json.getLongValue();
                        case "b" -> bidPrice = decimal(json);
                        case "B" -> bidSize = decimal(json);
                        case "a" -> askPrice = decimal(json);
                        case "A" -> askSize = decimal(json);
                        default -> seen--;
                    }
                }
            }
        } catch (IOException error) {
            throw new IllegalArgumentException("parsing a record", error);
        }
        if (seen != 5) {
            throw new IllegalArgumentException("not a bookTicker");
        }
        return new Quote(updateId, bidPrice, bidSize, askPrice, askSize);
    }

    /** The text as an integer at 1e-9, exactly. */
    private static long decimal(JsonParser json) throws IOException {
        char[] text = json.getTextCharacters();
        int start = json.getTextOffset(), end = start + json.getTextLength();
        long value = 0;
        int decimals = -1; // Of those read; none before the point.
        for (int at = start; at < end; at++) {
            char digit = text[at];
            if (digit == '.' && decimals < 0) {
                decimals = 0;
            } else if (digit >= '0' && digit <= '9' && decimals < DECIMALS) {
                value = Math.addExact(Math.multiplyExact(value, 10L), digit - '0');
                decimals += decimals < 0 ? 0 : 1;
            } else {
                throw new IllegalArgumentException("not a decimal at 1e-9");
            }
        }
        for (int missing = DECIMALS - Math.max(decimals, 0); missing > 0; missing--) {
            value = Math.multiplyExact(value, 10L);
        }
        return value;
    }

    /** The order's JSON, the price with two decimals, filled up to its length. */
    private static byte[] encode(long offset, String side, long price) {
        long cents = price / 10_000_000L;
        long rest = cents % 100;
        String head = "{\"offset\":" + offset + ",\"side\":\"" + side + "\",\"price\":\"" + cents / 100 + (rest < 10 ? ".0" : ".")
                + rest + "\",\"fill\":\"";
        byte[] order = Arrays.copyOf(head.getBytes(StandardCharsets.ISO_8859_1), ORDER_BYTES);
        Arrays.fill(order, head.length(), ORDER_BYTES - 2, (byte) 'x');
        order[ORDER_BYTES - 2] = '"';
        order[ORDER_BYTES - 1] = '}';
        return order;
    }
}
